"""The values of options that are written in a notation of their own."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import click

from bridge.config.notation import positive_duration
from bridge.console.printable import printable


def positive_time(text: str) -> timedelta:
    """Return a duration above 0. Raise `ValueError`."""
    try:
        return positive_duration(text)
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
