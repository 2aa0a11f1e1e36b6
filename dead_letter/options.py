"""What can be typed: ages, rates and patterns, and the filters that three of the commands share."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import click

from bridge.ledger import Filter
from bridge.notation import duration
from bridge.topics import check_pattern
from dead_letter.rendering import visible

_RATE_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def _read_by(read: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Return the callback of an option whose text a function of ours reads; what it raises is the message."""

    def callback(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else read(value)
        except ValueError as error:
            raise click.BadParameter(visible(str(error))) from error

    return callback


def interval_of(rate: str) -> float:
    """Return the seconds between two letters at a rate such as `50/s`, `10/m` or `100/h`. Raise `ValueError`."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)/([smh])", rate.strip())
    if match is None or float(match[1]) == 0:
        raise ValueError(f"{rate!r:.80}: expected a rate such as 50/s, 10/m or 100/h")
    return _RATE_UNITS[match[2]] / float(match[1])


def _age(text: str) -> timedelta:
    try:
        return duration(text)
    except ValueError as error:
        raise ValueError(f"{text!r:.80}: {error}") from error


rate_option = click.option(
    "--rate",
    "interval",
    callback=_read_by(interval_of),
    metavar="N/s",
    help="At most so many in a time: 50/s, 10/m, 100/h.",
)


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that make a `Filter`, by the names of its fields."""
    for option in (
        click.option("--newer", callback=_read_by(_age), metavar="AGE", help="Died at most so long ago: 10m."),
        click.option(
            "--older", callback=_read_by(_age), metavar="AGE", help="Died at least so long ago: 30s, 10m, 2h, 4d."
        ),
        click.option("--error", metavar="TEXT", help="A part of the last error's type or message, in any case."),
        click.option("--queue", metavar="NAME", help="The queue that it died in."),
        click.option(
            "--event",
            callback=_read_by(check_pattern),
            metavar="PATTERN",
            help="The event's name: order.paid, order.*, order.#",
        ),
    ):
        command = option(command)
    return command


def filter_words(wanted: Filter) -> list[str]:
    """Return the filter as it is typed."""
    words: list[str] = []
    for option, value in (
        ("--event", wanted.event),
        ("--queue", wanted.queue),
        ("--error", wanted.error),
        ("--older", wanted.older),
        ("--newer", wanted.newer),
    ):
        if value is not None:
            words += [option, f"{value.total_seconds():g}s" if isinstance(value, timedelta) else value]
    return words
