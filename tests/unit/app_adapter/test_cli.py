"""`bridge-defer`, from the command line to the publisher."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app_adapter import cli
from bridge.errors import BrokerUnavailable, DeferError, DeferRejected, DeferUnconfirmed, Unroutable
from bridge.event import Event
from bridge.settings import Settings

Published = list[tuple[Settings, Event, datetime | None]]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Published:
    """What was published, in a directory without settings."""
    published: Published = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "publish", lambda *arguments: published.append(arguments))
    return published


def run(*arguments: str, data: bytes | None = None) -> Result:
    """Run the command."""
    return CliRunner().invoke(cli.main, arguments, input=data)


def test_an_event_is_deferred(published: Published) -> None:
    """It prints the id, and exits with 0."""
    result = run("account.created", '{"id": 17, "name": "Ä"}')

    ((settings, event, due),) = published
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
    """As defer() without a payload."""
    run("a.b")

    assert published[0][1].data == b"null"


def test_a_delay_is_taken_as_in_settings(published: Published) -> None:
    """`5m` is five minutes."""
    run("a.b", "--delay", "5m")

    due = published[0][2]
    assert due is not None
    assert due - published[0][1].time == timedelta(minutes=5)


def test_a_moment_is_taken_with_its_offset(published: Published) -> None:
    """RFC 3339."""
    run("a.b", "--at", "2090-01-01T06:00:00+01:00")

    assert published[0][2] == datetime(2090, 1, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize("source", ["-", "data.bin"])
def test_bytes_come_from_a_file_or_standard_input(published: Published, source: str) -> None:
    """They are sent as they are."""
    Path("data.bin").write_bytes(b"\x00\xff")

    run("a.b", "--data-file", source, "--content-type", "image/png", data=b"\x00\xff")

    assert (published[0][1].data, published[0][1].content_type) == (b"\x00\xff", "image/png")


def test_the_broker_url_wins_over_the_file(published: Published) -> None:
    """The command line is the strongest layer; `--config` names the file."""
    Path("other.toml").write_text('broker_url = "amqp://file/"\nnamespace = "file"\nsource = "till"\n')

    run("a.b", "--config", "other.toml", "--broker-url", "amqp://line/", "--namespace", "line")

    values = published[0][0].values
    assert (values.broker_url, values.namespace, values.source) == ("amqp://line/", "line", "till")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["a..b"], "expected dotted words"),
        (["bridge.x"], "the bridge's own"),
        (["a.b", "{"], "expected JSON"),
        (["a.b", "NaN"], "NaN is not JSON"),
        (["a.b", "{}", "--data-file", "-"], "JSON and --data-file"),
        (["a.b", "--delay", "soon"], "--delay 'soon': expected a time"),
        (["a.b", "--at", "tomorrow"], "--at 'tomorrow': expected a time with its offset, such as 2026"),
        (["a.b", "--at", "2030-01-01"], "expected a time with its offset, such as 2026"),
        (["a.b", "--delay", "1", "--at", "2090-01-01T00:00:00Z"], "--delay and --at"),
        (["a.b", "--config", "missing.toml"], "expected a file"),
        ([], "Missing argument 'NAME'"),
    ],
)
def test_what_cannot_be_done_exits_with_2(published: Published, arguments: list[str], why: str) -> None:
    """The error says why, and nothing is published."""
    result = run(*arguments)

    assert result.exit_code == 2
    assert why in result.stderr
    assert published == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BrokerUnavailable("away"), 3),
        (DeferUnconfirmed("id", "who knows"), 3),
        (DeferRejected("full"), 3),
        (Unroutable("no queue"), 2),
    ],
)
def test_what_the_broker_says_decides_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: DeferError, code: int
) -> None:
    """3 is the broker's, 2 is the settings'."""

    def publish(*_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "publish", publish)

    result = run("a.b")

    assert (result.exit_code, result.stderr) == (code, f"Error: {error}\n")


def test_help_has_an_example() -> None:
    """What a newcomer types first."""
    assert "bridge-defer account.created" in run("--help").stdout
