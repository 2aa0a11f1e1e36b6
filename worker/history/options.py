"""The values of the options of `bridge-events`."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any

import click

from bridge.config.notation import duration
from bridge.console.option_values import read_by
from bridge.console.printable import printable
from bridge.event import parse_time
from bridge.history import ENDS
from bridge.topics import check_pattern
from worker.history.finding import Wanted

_ID = re.compile(r"[A-Za-z0-9._:-]{4,255}")
_MOMENT = "expected an age such as 10m, 2h or 4d, or a moment such as 2026-11-29T14:00+01:00"


def time_of(text: str) -> datetime:
    """Return the moment of an age or of an RFC 3339 text. Raise `ValueError`."""
    try:
        return datetime.now(UTC) - duration(text)
    except (ValueError, OverflowError):
        pass
    try:
        return parse_time(text)
    except ValueError:
        raise ValueError(f"{text!r:.80}: {_MOMENT}") from None


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a `Filter` to a command, with the names of its fields."""
    moment = read_by(time_of)
    for option in (
        click.option("--until", callback=moment, metavar="TIME", help="Settled at this age or moment, or before."),
        click.option("--since", callback=moment, metavar="TIME", help="Settled since: 10m, 2026-11-29T14:00Z."),
        click.option("--outcome", "end", type=click.Choice(ENDS), help="What became of the event then."),
        click.option("--key", metavar="KEY", help="The key that the publisher gave."),
        click.option("--queue", metavar="NAME", help="The queue of the attempt."),
        click.option(
            "--name",
            callback=read_by(check_pattern),
            metavar="PATTERN",
            help="The event's name: order.paid, order.*, order.#",
        ),
    ):
        command = option(command)
    return command


def which_event(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ID and `--key` to a command, which gets `wanted`. Exactly one of them must be given."""

    @wraps(command)
    def with_wanted(*arguments: Any, event_id: str | None, key: str | None, **options: Any) -> Any:
        if (event_id is None) == (key is None):
            raise click.UsageError("expected ID or --key KEY.")
        if event_id is not None and not _ID.fullmatch(event_id):
            raise click.UsageError(
                printable(f"ID {event_id!r:.80}: expected an id, or its end of 4 characters or more.")
            )
        return command(*arguments, wanted=Wanted(event_id, key), **options)

    for option in (
        click.option("--key", metavar="KEY", help="The key that the publisher gave."),
        click.argument("event_id", metavar="[ID]", required=False),
    ):
        with_wanted = option(with_wanted)
    return with_wanted
