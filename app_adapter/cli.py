"""`bridge-defer`: defers one event from the shell, with the site's settings and without its app."""

import json
from datetime import UTC, datetime
from typing import Any, BinaryIO

import click

from app_adapter.defer import due_of, make_event
from app_adapter.deferral import Deferral, handling_of, within_of
from app_adapter.fork_safe_publishing import publish
from bridge.config.settings import Settings, load_settings
from bridge.console import options
from bridge.console.encoding import argument_text
from bridge.console.option_values import any_time, moment, read_by
from bridge.console.printable import json_text as to_json
from bridge.console.program import program, version_option
from bridge.errors import DuplicateEvent
from bridge.event import format_time
from bridge.watchers.from_settings import named_watchers
from bridge.watchers.notify import Watchers


def _expires(text: str) -> str | datetime:
    return moment(text) if "-" in text else text


def _retry(text: str) -> dict[str, str]:
    """Return the table that is written as `attempts=5,initial=10s`."""
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError(f"{text!r:.80}: expected a table such as attempts=5,initial=10s")
    return {key.strip(): value.strip() for key, _, value in pairs}


@program(
    """bridge-defer account.created '{"id": 17}'""",
    "bridge-defer report.monthly --at 2030-01-01T06:00:00+01:00",
    "curl -s https://example.org/feed | bridge-defer feed.fetched --data-file - --content-type application/xml",
)
@click.argument("name")
@click.argument("json_text", metavar="[JSON]", required=False)
@click.option(
    "--delay", callback=read_by(any_time), metavar="TIME", help="Replay it after this time: 30, 90s, 5m, 2h, 4d."
)
@click.option(
    "--at", callback=read_by(moment), metavar="MOMENT", help="Replay it at this time: RFC 3339, with an offset."
)
@click.option(
    "--data-file", type=click.File("rb"), metavar="FILE", help="Send these bytes instead of JSON; - is standard input."
)
@click.option("--content-type", metavar="TYPE", help="The type of the bytes [application/octet-stream].")
@click.option("--priority", type=click.Choice(["high", "normal", "low"]), help="How urgent it is. [as the queue is]")
@click.option(
    "--expires",
    callback=read_by(_expires),
    metavar="TIME",
    help="Do not begin it after this time, or this moment in RFC 3339.",
)
@click.option(
    "--retry",
    callback=read_by(_retry),
    metavar="TABLE",
    help="The retry policy, such as attempts=5,initial=10s. [as the queue has]",
)
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
    data_file: BinaryIO | None,
    as_json: bool,
    broker_url: str | None,
    namespace: str | None,
    config: str | None,
    **how: Any,
) -> None:
    """Defer the event NAME, with JSON (by default null) as its payload, and print its id, or with --within that of the
    first event with this key.

    Exit codes: 0 deferred; 2 wrong usage or settings, or no queue takes the event; 3 the broker cannot be reached,
    refuses, or did not confirm.
    """
    if how["delay"] is not None and how["at"] is not None:
        raise click.UsageError("--delay and --at: expected one of them")
    deferral = Deferral(name, payload_of(json_text, data_file), **how)
    settings = load_settings(command_line={"broker_url": broker_url, "namespace": namespace}, file=config)
    deferred = _defer(deferral, settings, datetime.now(UTC))
    click.echo(to_json(deferred) if as_json else deferred["id"])


def _defer(deferral: Deferral, settings: Settings, now: datetime) -> dict[str, Any]:
    """Defer the event, and return what `--json` prints: of the first event with its key, if it is a duplicate."""
    due = due_of(deferral.delay, deferral.at, now)
    event = make_event(
        deferral.name,
        deferral.payload,
        content_type=deferral.content_type,
        source=settings.values.source or "bridge-defer",
        dumps=dumps,
        max_body=settings.values.max_body,
        traceparent=None,
        now=now,
        handling=handling_of(deferral, due, now),
    )
    within = within_of(deferral, now)
    try:
        publish(settings, event, due, Watchers(named_watchers(settings)), creates=False, within=within)
    except DuplicateEvent as duplicate:
        return {"id": duplicate.event_id, "type": event.name, "duplicate": True}
    return {"id": event.id, "type": event.name, "time": format_time(event.time)}


def dumps(payload: Any) -> str:
    """Return the payload as JSON."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def payload_of(json_text: str | None, data_file: BinaryIO | None) -> Any:
    """Return the payload: the value of a JSON argument, or the bytes of a file; None without both. Raise
    `click.UsageError`."""
    if json_text is not None and data_file is not None:
        raise click.UsageError("JSON and --data-file: expected one of them")
    if data_file is not None:
        return data_file.read()
    try:
        return None if json_text is None else json.loads(argument_text(json_text))
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{json_text!r:.100}: expected JSON, such as '{{\"id\": 17}}': {error}") from error
