"""`bridge-call`: calls the listeners of a name from the shell and prints their answer, without the app."""

import json
import sys
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import click

from app_adapter.answers import value_of
from app_adapter.call import TIMEOUT, make_question
from app_adapter.cli import dumps, payload_of
from app_adapter.fork_safe_publishing import ask
from bridge.call import LONGEST_TIMEOUT
from bridge.config.settings import load_settings
from bridge.console import options
from bridge.console.option_values import any_time, read_by
from bridge.console.printable import json_text as to_json
from bridge.console.program import program, version_option
from bridge.watchers.from_settings import named_watchers
from bridge.watchers.notify import Watchers


def _timeout(text: str) -> timedelta:
    found = any_time(text)
    if not 0 < found.total_seconds() <= LONGEST_TIMEOUT:
        raise ValueError(f"{text!r:.80}: expected more than 0, and at most 20 minutes")
    return found


@program(
    """bridge-call str.reverse '{"str": "x"}' --timeout 2""",
    "bridge-call report.drawn 17 --timeout 30 > report.pdf",
    "bridge-call health.checked --json",
)
@click.argument("name")
@click.argument("json_text", metavar="[JSON]", required=False)
@click.option(
    "--timeout",
    callback=read_by(_timeout),
    metavar="TIME",
    default=f"{TIMEOUT:g}",
    show_default=True,
    help="Wait this long: 500ms, 2, 1m.",
)
@click.option(
    "--data-file", type=click.File("rb"), metavar="FILE", help="Send these bytes instead of JSON; - is standard input."
)
@click.option("--content-type", metavar="TYPE", help="The type of the bytes [application/octet-stream].")
@options.as_json("Print the answer, its type and its duration in seconds as one JSON object.")
@options.broker_url()
@options.namespace()
@options.config()
@version_option
def main(
    name: str,
    json_text: str | None,
    timeout: timedelta,
    data_file: BinaryIO | None,
    content_type: str | None,
    as_json: bool,
    broker_url: str | None,
    namespace: str | None,
    config: str | None,
) -> None:
    """Call the listeners of NAME, with JSON (by default null) as the payload, and print their answer: JSON as one line,
    bytes unchanged.

    Exit codes: 0 answered; 1 not answered: no worker takes the call, it failed, was rejected or timed out; 2 wrong
    usage or settings; 3 the broker cannot be reached or refuses; 130 ended by Ctrl-C, 143 by SIGTERM.
    """
    settings = load_settings(command_line={"broker_url": broker_url, "namespace": namespace}, file=config)
    question = make_question(
        name,
        payload_of(json_text, data_file),
        timeout=timeout,
        content_type=content_type,
        source=settings.values.source or "bridge-call",
        dumps=dumps,
        max_body=settings.values.max_body,
        traceparent=None,
        now=datetime.now(UTC),
    )
    began = time.monotonic()
    answer = ask(settings, question, Watchers(named_watchers(settings)), creates=False)
    value = value_of(answer, name, json.loads)
    if as_json:
        seconds = round(time.monotonic() - began, 6)
        click.echo(to_json({**_fields(value), "content_type": answer.content_type, "seconds": seconds}))
    elif isinstance(value, bytes):
        sys.stdout.buffer.write(value)
    else:
        click.echo(to_json(value))


def _fields(value: Any) -> dict[str, Any]:
    """Return the answer as fields of a JSON object."""
    return {"base64": b64encode(value).decode()} if isinstance(value, bytes) else {"answer": value}
