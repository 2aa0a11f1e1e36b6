"""The options of the commands: ages, rates and patterns, and the filters that three commands share."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import click

from bridge.console import options
from bridge.console.encoding import argument_text
from bridge.console.option_values import any_time, positive_time, read_by
from bridge.failures.fingerprint import ID_LENGTH
from bridge.ledger import Filter
from bridge.topics import check_pattern

_RATE_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def interval_of(rate: str) -> float:
    """Return the seconds between two letters at a rate such as `50/s`, `10/m` or `100/h`. Raise `ValueError`."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)/([smh])", rate.strip())
    if match is None or float(match[1]) == 0:
        raise ValueError(f"{rate!r:.80}: expected a rate such as 50/s, 10/m or 100/h")
    return _RATE_UNITS[match[2]] / float(match[1])


_rate_option = click.option(
    "--rate",
    "interval",
    callback=read_by(interval_of),
    metavar="N/s",
    help="At most N letters in a second, minute or hour: 50/s, 10/m, 100/h.",
)


def group_id(text: str) -> str:
    """Return the id of a group, or its beginning, in lower case. Raise `ValueError`."""
    found = text.strip().casefold()
    if not re.fullmatch(rf"[0-9a-f]{{4,{ID_LENGTH}}}", found):
        raise ValueError(f"{text!r:.80}: expected the id of a group or its first 4 digits at least, such as 1f3a9c0e")
    return found


def part_of(percent: str) -> float:
    """Return the part that a percentage such as `5%` is. Raise `ValueError`."""
    match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*%", percent.strip())
    if match is None or float(match[1]) > 100:
        raise ValueError(f"{percent!r:.80}: expected a percentage from 0% to 100%, such as 5%")
    return float(match[1]) / 100


def redrive_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `redrive` alone has to a command: those of a plan, and the release to wait for."""
    for option in (
        click.option(
            "--when-released",
            callback=read_by(argument_text),
            metavar="NAME",
            help="Wait until all workers that answer run this release of the app.",
        ),
        click.option(
            "--wait",
            callback=read_by(positive_time),
            metavar="TIME",
            help="With --plan: after a step, wait at most TIME for what becomes of its events [5m].",
        ),
        click.option(
            "--abort-over",
            callback=read_by(part_of),
            metavar="N%",
            help="With --plan: end it if more than N% of a step's events fail, in whatever way. Without it, the plan"
            " ends if one event fails with the error it died of, or more than 10% with others.",
        ),
        click.option(
            "--canary", type=click.IntRange(1), metavar="N", help="With --plan: the letters of the first step [10]."
        ),
        click.option(
            "--plan",
            "planned",
            is_flag=True,
            help="In steps: a canary, then always twice as many, while the events are delivered. See plans.",
        ),
    ):
        command = option(command)
    return command


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a `Filter` to a command, with the names of its fields."""
    for option in (
        click.option("--release", metavar="NAME", help="The app's release in which the event failed last."),
        click.option(
            "--group", callback=read_by(group_id), metavar="ID", help="A group of failures, as `groups` lists it."
        ),
        click.option("--newer", callback=read_by(any_time), metavar="AGE", help="Died within the last AGE: 10m."),
        click.option(
            "--older", callback=read_by(any_time), metavar="AGE", help="Died more than AGE ago: 30s, 10m, 2h, 4d."
        ),
        click.option(
            "--error", metavar="TEXT", help="A part of the last error's type or message; case does not matter."
        ),
        click.option("--queue", metavar="NAME", help="The queue in which the event died."),
        click.option(
            "--event",
            callback=read_by(check_pattern),
            metavar="PATTERN",
            help="The event's name: order.paid, order.*, order.#",
        ),
    ):
        command = option(command)
    return command


def _as_text(ctx: click.Context, param: click.Parameter, value: str) -> str:
    return argument_text(value)


def deciding_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `redrive` and `discard` to a command."""
    declared: tuple[Callable[..., Any], ...] = (
        options.as_json("Print a JSON object for each letter, with its result."),
        click.option(
            "--reason", "note", default="", callback=_as_text, metavar="TEXT", help="The reason, for the ledger."
        ),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--dry-run", is_flag=True, help="Show the selected letters, and change nothing."),
        _rate_option,
        click.option("--limit", type=click.IntRange(1), metavar="N", help="At most N letters, the oldest first."),
        filter_options,
        click.option("--all", "every", is_flag=True, help="Select every open dead letter."),
        click.argument("letters", nargs=-1, metavar="[NUMBER|ID_END]..."),
        click.pass_obj,
    )
    for option in declared:
        command = option(command)
    return command


def filter_words(wanted: Filter) -> list[str]:
    """Return the filter as command-line options."""
    words: list[str] = []
    for option, value in (
        ("--event", wanted.event),
        ("--queue", wanted.queue),
        ("--error", wanted.error),
        ("--older", wanted.older),
        ("--newer", wanted.newer),
        ("--group", wanted.group),
        ("--release", wanted.release),
    ):
        if value is not None:
            words += [option, f"{value.total_seconds():g}s" if isinstance(value, timedelta) else value]
    return words
