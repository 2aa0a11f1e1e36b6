"""The log of settlements: one record for each, at a level by its kind, with the app's traceback."""

import io
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.attempt import Error
from bridge.console.log_setup import configure_logging
from bridge.moments import BrokerLost, Moment, Settled
from bridge.outcome import Crashed, Failed, Halted, NotBegun, Outcome, Overloaded, Succeeded
from bridge.settlement import Ack, DeadLetter, Drop, Halt, RetryAfter, Settlement
from bridge.watchers.log import LogWatcher
from tests.unit.bridge.examples import ERROR, NOW, envelope

WAIT = timedelta(seconds=8)
CRASH = Error("crash", "the process ended")
RETRY = RetryAfter(envelope(), WAIT, ERROR)
SNOOZE = replace(RETRY, snoozed=True)
DEAD = DeadLetter(envelope(), "rejected", ERROR)


def settled(settlement: Settlement, outcome: Outcome | None = None) -> Settled:
    """Return the moment of a settled first attempt, which took a quarter of a second."""
    return Settled(envelope(), "mail", outcome or Failed(ERROR), settlement, 0.25)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Set up the log of a program, as JSON lines, and restore the loggers after the test."""
    root, ours = logging.getLogger(), logging.getLogger("bridge")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    stream = io.StringIO()
    configure_logging("json", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def logged(stream: io.StringIO, moment: Moment, watcher: LogWatcher | None = None) -> list[dict[str, object]]:
    """Pass a moment to the watcher, and return all records in the log."""
    (watcher or LogWatcher())(moment)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("settlement", "level", "message"),
    [
        (RETRY, "warning", "retry scheduled: ValueError: no such account"),
        (DEAD, "error", "dead letter (rejected): ValueError: no such account"),
    ],
)
def test_a_failure_is_one_record_with_its_traceback(
    stream: io.StringIO, settlement: Settlement, level: str, message: str
) -> None:
    """A retry is one warning and a dead letter one error, each with the app's traceback."""
    (record,) = logged(stream, settled(settlement))

    assert (record["level"], record["message"], record["logger"]) == (level, message, "bridge.events")
    assert record["traceback"] == ERROR.traceback
    assert (record["event"], record["id"], record["queue"]) == ("account.created", "0190-id", "mail")
    assert (record["attempt"], record["seconds"]) == (1, 0.25)


def test_a_retry_has_the_time_of_the_next_attempt(stream: io.StringIO) -> None:
    """The record of a retry has the earliest time of the next attempt, in local time, to the second."""
    (record,) = logged(stream, settled(RETRY), LogWatcher(now=lambda: NOW))
    assert record["next"] == (NOW + WAIT).astimezone().isoformat("T", "seconds")


@pytest.mark.parametrize("zone", ["UTC-9", "UTC+9"])
def test_a_retry_at_the_end_of_the_calendar(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """It has a time in every zone."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", zone)
        time.tzset()
        (record,) = logged(stream, settled(replace(RETRY, wait=timedelta.max)), LogWatcher(now=lambda: NOW))
    time.tzset()

    assert str(record["next"]).startswith("9999-12-31T")


def test_a_failure_without_an_exception_has_no_traceback(stream: io.StringIO) -> None:
    """The record of a crash has no traceback."""
    (record,) = logged(stream, settled(RetryAfter(envelope(), WAIT, CRASH), Crashed(CRASH)))
    assert "traceback" not in record


def test_a_note_for_the_operator_is_a_separate_record(stream: io.StringIO) -> None:
    """The failure of a retry policy is logged separately from the failure of the event."""
    _, note = logged(stream, settled(RetryAfter(envelope(), WAIT, ERROR, note="the policy raised: 100%")))
    assert (note["level"], note["message"]) == ("error", "the policy raised: 100%")


def test_a_success_is_logged_on_request(stream: io.StringIO) -> None:
    """A success is logged at info if `successes` is set, and not logged by default."""
    success = settled(Ack(), Succeeded())
    assert logged(stream, success) == []

    (record,) = logged(stream, success, LogWatcher(successes=True))
    assert (record["level"], record["message"], record["id"]) == ("info", "delivered", "0190-id")


@pytest.mark.parametrize(
    ("settlement", "outcome", "level", "message"),
    [
        (
            SNOOZE,
            Overloaded(ERROR, snoozed=True),
            "info",
            "snoozed for 8 s: ValueError: no such account",
        ),
        (RETRY, Overloaded(ERROR), "warning", "retry scheduled: ValueError: no such account"),
        (Drop(ERROR), NotBegun(ERROR), "info", "dropped: ValueError: no such account"),
        (Halt(envelope(), ERROR), Halted(ERROR), "error", "queue halted by a listener: ValueError: no such account"),
    ],
)
def test_what_is_no_failure_is_no_alert(
    stream: io.StringIO, settlement: Settlement, outcome: Outcome, level: str, message: str
) -> None:
    """A snooze and a dropped event are lines at info. A halted queue needs a person."""
    (record,) = logged(stream, settled(settlement, outcome))
    assert (record["level"], record["message"], record["id"]) == (level, message, "0190-id")


def test_other_moments_leave_no_line(stream: io.StringIO) -> None:
    """Other moments are logged where they happen, not by this watcher."""
    assert logged(stream, BrokerLost("away"), LogWatcher(successes=True)) == []


def test_for_people_the_traceback_follows_the_line(stream: io.StringIO) -> None:
    """In the text format a traceback is indented, so that it cannot imitate a record."""
    text = io.StringIO()
    configure_logging("text", stream=text)
    forged = Error("ValueError", "x", "Traceback…\n12:00:00 ERROR  \x1b[2Jforged")
    LogWatcher()(settled(RetryAfter(envelope(), WAIT, forged)))

    line, *trace = text.getvalue().splitlines()
    assert "WARNING retry scheduled: ValueError: x  event=account.created" in line
    assert trace == ["    Traceback…", "    12:00:00 ERROR  \\x1b[2Jforged"]


def test_a_level_that_is_off_costs_nothing(stream: io.StringIO) -> None:
    """Below the level of the logger, no record is made."""
    logging.getLogger("bridge.events").setLevel(logging.CRITICAL)
    try:
        assert logged(stream, settled(DEAD)) == []
    finally:
        logging.getLogger("bridge.events").setLevel(logging.NOTSET)
