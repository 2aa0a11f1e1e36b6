"""`bridge-defer`, from the command line to the publisher."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app_adapter import cli
from bridge.config.settings import Settings
from bridge.errors import DeferError, DeferRejected, DeferUnavailable, DeferUnconfirmed, DuplicateEvent, Unroutable
from bridge.event import Event
from bridge.handling import Handling, Priority
from bridge.moments import Tell
from bridge.retry_table import RetryTable

Published = list[tuple[Settings, Event, datetime | None, Tell]]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Published:
    """Return the list of published events. The test runs in a directory without settings."""
    published: Published = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "publish", lambda *arguments, creates, within: published.append(arguments))
    return published


def run(*arguments: str, data: bytes | None = None) -> Result:
    """Run the command."""
    return CliRunner().invoke(cli.main, arguments, input=data)


def test_an_event_is_deferred(published: Published) -> None:
    """The command prints the id, and exits with 0."""
    result = run("account.created", '{"id": 17, "name": "Ä"}')

    ((settings, event, due, _),) = published
    assert (result.exit_code, result.stdout) == (0, f"{event.id}\n")
    assert (event.name, event.source, event.content_type, due) == (
        "account.created",
        "bridge-defer",
        "application/json",
        None,
    )
    assert json.loads(event.data) == {"id": 17, "name": "Ä"}
    assert settings.values.broker_url.startswith("sqlite:///")


def test_without_json_the_payload_is_null(published: Published) -> None:
    """This is the same as `defer()` without a payload."""
    run("a.b")

    assert published[0][1].data == b"null"


def test_a_delay_has_the_notation_of_settings(published: Published) -> None:
    """`5m` is five minutes."""
    run("a.b", "--delay", "5m")

    due = published[0][2]
    assert due is not None
    assert due - published[0][1].time == timedelta(minutes=5)


def test_the_handling_has_the_notation_of_settings(published: Published) -> None:
    """`--retry` is a table on one line; `--expires` takes a time as `--delay`, or a moment as `--at`."""
    run("a.b", "--priority", "high", "--expires", "10m", "--retry", "attempts=5, initial=10s", "--key", "order-17")
    run("a.b", "--expires", "2090-01-01T06:00:00+01:00")

    event = published[0][1]
    retry = RetryTable(attempts=5, initial=timedelta(seconds=10))
    assert event.handling == Handling(Priority.HIGH, event.time + timedelta(minutes=10), "order-17", retry)
    assert published[1][1].handling == Handling(expires=datetime(2090, 1, 1, 5, tzinfo=UTC))


def test_a_time_is_read_with_its_offset(published: Published) -> None:
    """`--at` takes RFC 3339."""
    run("a.b", "--at", "2090-01-01T06:00:00+01:00")

    assert published[0][2] == datetime(2090, 1, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize("source", ["-", "data.bin"])
def test_bytes_come_from_a_file_or_standard_input(published: Published, source: str) -> None:
    """They are sent unchanged."""
    Path("data.bin").write_bytes(b"\x00\xff")

    run("a.b", "--data-file", source, "--content-type", "image/png", data=b"\x00\xff")

    assert (published[0][1].data, published[0][1].content_type) == (b"\x00\xff", "image/png")


def test_the_broker_url_wins_over_the_file(published: Published) -> None:
    """The command line goes before the file; `--config` names the file."""
    Path("other.toml").write_text('broker_url = "amqp://file/"\nnamespace = "file"\nsource = "till"\n')

    run("a.b", "--config", "other.toml", "--broker-url", "amqp://line/", "--namespace", "line")

    values = published[0][0].values
    assert (values.broker_url, values.namespace, values.source) == ("amqp://line/", "line", "till")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["a..b"], "expected dotted words"),
        (["bridge.x"], "are reserved"),
        (["a.b", "{"], "expected JSON"),
        (["a.b", "NaN"], "NaN is not JSON"),
        (["a.b", "{}", "--data-file", "-"], "JSON and --data-file"),
        (["a.b", "--delay", "soon"], "'--delay': 'soon': expected a time"),
        (["a.b", "--at", "tomorrow"], "'--at': 'tomorrow': expected a time with its offset, such as 2026"),
        (["a.b", "--at", "2030-01-01"], "expected a time with its offset, such as 2026"),
        (["a.b", "--delay", "1", "--at", "2090-01-01T00:00:00Z"], "--delay and --at"),
        (["a.b", "--priority", "urgent"], "'urgent' is not one of 'high', 'normal', 'low'"),
        (["a.b", "--expires", "soon"], "expires='soon': expected a time"),
        (["a.b", "--expires", "2090-01-01"], "'--expires': '2090-01-01': expected a time with its offset"),
        (["a.b", "--retry", "5"], "'--retry': '5': expected a table such as attempts=5,initial=10s"),
        (["a.b", "--retry", "attempts=no"], "retry['attempts']='no': expected a whole number"),
        (["a.b", "--key", ""], "key='': expected a text of 1 to 200 printable"),
        (["a.b", "--config", "missing.toml"], "expected a file"),
        (["a.b", "--config", "watched.toml"], "watchers = 'nowhere:watch' (from "),
        ([], "Missing argument 'NAME'"),
    ],
)
def test_a_wrong_argument_exits_with_2(published: Published, arguments: list[str], why: str) -> None:
    """The error says why, and nothing is published."""
    Path("watched.toml").write_text("watchers = ['nowhere:watch']")
    result = run(*arguments)

    assert result.exit_code == 2
    assert why in result.stderr
    assert published == []


def test_of_a_duplicate_the_id_of_the_first_event_is_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is no failure. The JSON has `duplicate`."""
    monkeypatch.chdir(tmp_path)

    def publish(*_: object, within: timedelta, **__: object) -> None:
        raise DuplicateEvent("first", f"{within}")

    monkeypatch.setattr(cli, "publish", publish)
    text, data = (run("a.b", "--key", "k", "--within", "10m", *more) for more in ((), ("--json",)))

    assert (text.exit_code, text.stdout) == (0, "first\n")
    assert json.loads(data.stdout) == {"id": "first", "type": "a.b", "duplicate": True}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DeferUnavailable("away"), 3),
        (DeferUnconfirmed("id", "who knows"), 3),
        (DeferRejected("full"), 3),
        (Unroutable("no queue"), 2),
    ],
)
def test_the_cause_of_a_failure_decides_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: DeferError, code: int
) -> None:
    """3 is for failures of the broker, 2 for wrong settings and events."""

    def publish(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli, "publish", publish)

    result = run("a.b")

    assert (result.exit_code, result.stderr) == (code, f"Error: {error}\n")


def test_help_has_an_example() -> None:
    """The help is the first thing that a new user reads."""
    assert "bridge-defer account.created" in run("--help").stdout
