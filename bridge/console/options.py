"""The options that the programs share. Further attributes of `click.option` can be passed to each."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bridge.console.log_setup import LOG_FORMATS, LOG_LEVELS

Declared = TypeVar("Declared", bound=Callable[..., Any])
Option = Callable[[Declared], Declared]


def config(**attributes: Any) -> Option[Any]:
    """Add `--config`."""
    text = "The settings file. [bridge.toml, if it exists]"
    return click.option("--config", metavar="FILE", help=text, **attributes)


def broker_url(**attributes: Any) -> Option[Any]:
    """Add `--broker-url`."""
    text = "sqlite:///bridge.db, or amqp://host/ (several hosts: h1,h2)."
    return click.option("--broker-url", metavar="URL", help=text, **attributes)


def namespace(**attributes: Any) -> Option[Any]:
    """Add `--namespace`."""
    text = "The prefix of all names on the broker. [bridge]"
    return click.option("--namespace", metavar="NAME", help=text, **attributes)


def as_json(text: str) -> Option[Any]:
    """Add `--json`, which is passed as `as_json`. `text` is its help and says what is printed."""
    return click.option("--json", "as_json", is_flag=True, help=text)


def logs(command: Declared) -> Declared:
    """Add `--log-format` and `--log-level`, which are passed as `log_format` and `log_level`."""
    for name, words, default, text in (
        ("--log-level", LOG_LEVELS, "info", "The lowest level that is logged."),
        ("--log-format", LOG_FORMATS, "text", "Text for people, or JSON lines for programs."),
    ):
        command = click.option(name, type=click.Choice(words), default=default, show_default=True, help=text)(command)
    return command
