"""`bridge-defer`: defers one event from the shell, with the site's settings and without its app."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, Literal

import click

from app_adapter.defer import due_of, make_event
from app_adapter.deferral import Deferral, handling_of, within_of
from app_adapter.fork_safe_publishing import publish
from bridge.config.notation import duration
from bridge.config.settings import load_settings
from bridge.console import options
from bridge.console.encoding import argument_text
from bridge.console.printable import json_text as to_json
from bridge.console.program import program, version_option
from bridge.errors import DuplicateEvent
from bridge.event import format_time, parse_time
from bridge.watchers.from_settings import named_watchers
from bridge.watchers.notify import Watchers


@program(
    """bridge-defer account.created '{"id": 17}'""",
    "bridge-defer report.monthly --at 2030-01-01T06:00:00+01:00",
    "curl -s https://example.org/feed | bridge-defer feed.fetched --data-file - --content-type application/xml",
)
@click.argument("name")
@click.argument("json_text", metavar="[JSON]", required=False)
@click.option("--delay", metavar="TIME", help="Replay it after this time: 30, 90s, 5m, 2h, 4d.")
@click.option("--at", metavar="MOMENT", help="Replay it at this time: RFC 3339, with an offset.")
@click.option(
    "--data-file", type=click.File("rb"), metavar="FILE", help="Send these bytes instead of JSON; - is standard input."
)
@click.option("--content-type", metavar="TYPE", help="The type of the bytes [application/octet-stream].")
@click.option("--priority", type=click.Choice(["high", "normal", "low"]), help="How urgent it is. [as the queue is]")
@click.option("--expires", metavar="TIME", help="Do not begin it after this time, or this moment in RFC 3339.")
@click.option("--retry", metavar="TABLE", help="The retry policy, such as attempts=5,initial=10s. [as the queue has]")
@click.option("--key", metavar="NAME", help="Your own name for the event.")
@click.option("--within", metavar="TIME", help="Unless an event of this name and key was deferred within this time.")
@options.as_json("Print the event's id, name and time as one JSON object.")
@options.broker_url()
@options.namespace()
@options.config()
@version_option
def main(
    name: str,
    json_text: str | None,
    delay: str | None,
    at: str | None,
    data_file: BinaryIO | None,
    content_type: str | None,
    priority: Literal["high", "normal", "low"] | None,
    expires: str | None,
    retry: str | None,
    key: str | None,
    within: str | None,
    as_json: bool,
    broker_url: str | None,
    namespace: str | None,
    config: str | None,
) -> None:
    """Defer the event NAME, with JSON (by default null) as its payload, and print its id, or with --within that of the
    first event with this key.

    Exit codes: 0 deferred; 2 wrong usage or settings, or no queue takes the event; 3 the broker cannot be reached,
    refuses, or did not confirm.
    """
    if json_text is not None and data_file is not None:
        raise click.UsageError("JSON and --data-file: expected one of them")
    if delay is not None and at is not None:
        raise click.UsageError("--delay and --at: expected one of them")
    now = datetime.now(UTC)
    settings = load_settings(command_line={"broker_url": broker_url, "namespace": namespace}, file=config)
    deferral = Deferral(
        name,
        payload_of(json_text) if data_file is None else data_file.read(),
        delay=_delay(delay),
        at=_moment("--at", at),
        content_type=content_type,
        priority=priority,
        expires=_expires(expires),
        retry=_retry(retry),
        key=key,
        within=within,
    )
    due = due_of(deferral.delay, deferral.at, now)
    event = make_event(
        name,
        deferral.payload,
        content_type=content_type,
        source=settings.values.source or "bridge-defer",
        dumps=dumps,
        max_body=settings.values.max_body,
        traceparent=None,
        now=now,
        handling=handling_of(deferral, due, now),
    )
    held = within_of(deferral, now)
    result: dict[str, Any]
    try:
        publish(settings, event, due, Watchers(named_watchers(settings)), creates=False, within=held)
        result = {"id": event.id, "type": event.name, "time": format_time(event.time)}
    except DuplicateEvent as duplicate:
        result = {"id": duplicate.event_id, "type": event.name, "duplicate": True}
    click.echo(to_json(result) if as_json else result["id"])


def dumps(payload: Any) -> str:
    """Return the payload as JSON."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def payload_of(text: str | None) -> Any:
    """Return the payload of a JSON argument; None without one. Raise `click.BadParameter`."""
    try:
        return None if text is None else json.loads(argument_text(text))
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{text!r:.100}: expected JSON, such as '{{\"id\": 17}}': {error}") from error


def _delay(text: str | None) -> timedelta | None:
    try:
        return None if text is None else duration(text)
    except ValueError as error:
        raise click.BadParameter(f"--delay {text!r:.100}: {error}") from error


def _moment(option: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else parse_time(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{option} {text!r:.100}: expected a time with its offset, such as 2026-11-20T09:00:00+01:00"
        ) from error


def _expires(text: str | None) -> str | datetime | None:
    return _moment("--expires", text) if text is not None and "-" in text else text


def _retry(text: str | None) -> dict[str, str] | None:
    """Return the table that is written as `attempts=5,initial=10s`."""
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(equals for _, equals, _ in pairs):
        raise click.BadParameter(f"--retry {text!r:.100}: expected a table such as attempts=5,initial=10s")
    return {key.strip(): value.strip() for key, _, value in pairs}
