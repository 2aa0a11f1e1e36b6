"""The values of options that are written in a notation of their own."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import click

from bridge.config.notation import duration, limited_duration, positive_duration
from bridge.console.printable import printable
from bridge.event import parse_time


def any_time(text: str) -> timedelta:
    """Return a duration, such as 90s. Raise `ValueError`."""
    return _read(duration, text)


def limited_time(text: str) -> timedelta:
    """Return a duration that a clock can wait for. Raise `ValueError`."""
    return _read(limited_duration, text)


def positive_time(text: str) -> timedelta:
    """Return a duration above 0. Raise `ValueError`."""
    return _read(positive_duration, text)


def moment(text: str) -> datetime:
    """Return a time with its offset, in RFC 3339. Raise `ValueError`."""
    try:
        return parse_time(text)
    except ValueError as error:
        expected = "expected a time with its offset, such as 2026-11-20T09:00:00+01:00"
        raise ValueError(f"{text!r:.80}: {expected}") from error


def _read(reader: Callable[[str], timedelta], text: str) -> timedelta:
    try:
        return reader(text)
    except ValueError as error:
        raise ValueError(f"{text!r:.80}: {error}") from error


def read_by(read: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Return an option callback that reads the text with `read`. The text of its `ValueError` is the error message."""

    def callback(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else read(value)
        except ValueError as error:
            raise click.BadParameter(printable(str(error))) from error

    return callback
