"""The text by which records of the history are found, and the time in an id."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.brokers.any_broker.history_reading import deferred_at, history_of, newest, text_of
from bridge.brokers.sqlite.broker import SqliteBroker
from bridge.config.settings import load_settings
from bridge.history import Filter, record_of
from bridge.topics import matches
from tests.unit.worker.history.examples import ID


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (Filter(), ""),
        (Filter(name="order.paid"), "order.paid"),
        (Filter(name="order.paid.#"), "order.paid"),
        (Filter(name="#.order.*.paid.late"), "paid.late"),
        (Filter(name="*"), ""),
        (Filter(name="#", queue="mail"), "mail"),
        (Filter(name="order.*", end="dead"), "order"),
        (Filter(end="dead", queue="mail"), "dead"),
        (Filter(name="order.paid", key="order-17"), "order-17"),
    ],
)
def test_the_text_that_a_record_has(wanted: Filter, text: str) -> None:
    """It is the most telling part of the filter, and none if the filter has no literal part."""
    assert text_of(wanted) == text


@pytest.mark.parametrize("pattern", ["order.#", "#.order", "order.*.paid", "*.order.#", "#"])
@pytest.mark.parametrize("name", ["order", "order.x.paid", "a.order", "order.paid", "x.order.y.z"])
def test_no_matching_name_lacks_the_text(pattern: str, name: str) -> None:
    """A name that the pattern matches contains the text."""
    if matches(pattern, name):
        assert text_of(Filter(name=pattern)) in name


async def test_the_first_moment_of_the_calendar_is_a_beginning(tmp_path: Path) -> None:
    """No time is calculated that is before it."""
    broker = SqliteBroker(tmp_path / "bridge.db", "bridge")
    log = history_of(broker, load_settings(environ={}))
    await log.append(record_of([[1_700_000_000.0, 0.25, ID, "order.paid", "mail", 1, "delivered"]], "web1", 11))

    try:
        assert len(await newest(log, Filter(since=datetime.min.replace(tzinfo=UTC)), 1)) == 1
    finally:
        await log.close()


def test_the_time_in_an_id() -> None:
    """Only an id that `defer()` made has a time."""
    found = deferred_at(ID)
    assert found is not None
    assert found.year == 2024
    assert deferred_at("order-17") is None
    assert deferred_at("ffffffff-ffff-7fff-bfff-ffffffffffff") is None  # a year after 9999
    assert deferred_at("6ba7b810-9dad-11d1-80b4-00c04fd430c8") is None
