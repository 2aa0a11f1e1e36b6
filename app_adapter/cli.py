"""`bridge-defer`: defers one event from the shell, by the site's settings and without its app."""

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, NoReturn

import click

from app_adapter.defer import due_of, make_event
from app_adapter.publishing_process import publish
from bridge.errors import BrokerUnavailable, DeferError, DeferRejected, DeferUnconfirmed, SettingsError
from bridge.event import moment
from bridge.notation import duration
from bridge.settings import load_settings

USAGE, BROKER = 2, 3
"""Exit codes: what was asked for cannot be done as it stands; the broker cannot be reached, or refuses."""

EPILOG = """\b
Examples:
  bridge-defer account.created '{"id": 17}'
  bridge-defer report.monthly --at 2030-01-01T06:00:00+01:00
  curl -s https://example.org/feed | bridge-defer feed.fetched --data-file - --content-type application/xml
"""


@click.command(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name")
@click.argument("json_text", metavar="[JSON]", required=False)
@click.option("--delay", metavar="TIME", help="Not before this time has passed: 30, 90s, 5m, 2h, 4d.")
@click.option("--at", metavar="MOMENT", help="Not before this moment: RFC 3339, with its offset.")
@click.option(
    "--data-file", type=click.File("rb"), metavar="FILE", help="Send these bytes instead of JSON; - is standard input."
)
@click.option("--content-type", metavar="TYPE", help="What the bytes are; by default application/octet-stream.")
@click.option("--broker-url", metavar="URL", help="sqlite:///path, amqp://… or amqps://…, else as the site's settings.")
@click.option("--namespace", metavar="NAME", help="The prefix of all names on the broker. [bridge]")
@click.option("--config", metavar="FILE", help="The settings' file. [bridge.toml, where there is one]")
@click.version_option(package_name="deferred-event-bridge")
def main(
    name: str,
    json_text: str | None,
    delay: str | None,
    at: str | None,
    data_file: BinaryIO | None,
    content_type: str | None,
    broker_url: str | None,
    namespace: str | None,
    config: str | None,
) -> None:
    """Defer the event NAME, with JSON (by default null) as its payload, and print its id."""
    if json_text is not None and data_file is not None:
        raise click.UsageError("JSON and --data-file: expected one of them")
    if delay is not None and at is not None:
        raise click.UsageError("--delay and --at: expected one of them")
    now = datetime.now(UTC)
    try:
        settings = load_settings(command_line={"broker_url": broker_url, "namespace": namespace}, file=config)
        event = make_event(
            name,
            _payload(json_text) if data_file is None else data_file.read(),
            content_type=content_type,
            source=settings.values.source or "bridge-defer",
            dumps=_dumps,
            max_body=settings.values.max_body,
            traceparent=None,
            now=now,
        )
        publish(settings, event, due_of(_delay(delay), _moment(at), now))
    except (BrokerUnavailable, DeferUnconfirmed, DeferRejected) as error:
        _stop(error, BROKER)
    except (DeferError, SettingsError) as error:
        _stop(error, USAGE)
    click.echo(event.id)


def _stop(error: Exception, code: int) -> NoReturn:
    click.echo(f"Error: {error}", err=True)
    sys.exit(code)


def _dumps(payload: Any) -> str:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def _payload(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{text!r:.100}: expected JSON, such as '{{\"id\": 17}}': {error}") from error


def _delay(text: str | None) -> timedelta | None:
    try:
        return None if text is None else duration(text)
    except ValueError as error:
        raise click.BadParameter(f"--delay {text!r:.100}: {error}") from error


def _moment(text: str | None) -> datetime | None:
    try:
        return None if text is None else moment(text)
    except ValueError as error:
        raise click.BadParameter(
            f"--at {text!r:.100}: expected a time with its offset, such as 2026-11-20T09:00:00+01:00"
        ) from error
