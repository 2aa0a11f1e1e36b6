"""Which ledger the program works on, and how it ends: the settings, the broker, and every error as an exit code."""

import getpass
import os
import shlex
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import click

from bridge.brokers.contract import Ledger
from bridge.brokers.opening import open_existing
from bridge.settings import Settings, load_settings
from dead_letter.rendering import visible

INCOMPLETE = 1


class _Failure(click.ClickException):
    def __init__(self, message: str) -> None:
        super().__init__(visible(message, lines=True))


class Incomplete(_Failure):
    """Not all that was asked for could be done, and nothing is wrong with how it was asked or with the broker."""

    exit_code = INCOMPLETE


class Misused(_Failure):
    """The command line or the settings cannot be used, or name nothing."""

    exit_code = 2


class BrokerFailed(_Failure):
    """The broker cannot be reached, or refuses."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Site:
    """What the command line says about the site; nothing is read before a command needs it."""

    broker_url: str | None = None
    namespace: str | None = None
    config: str | None = None

    def settings(self) -> Settings:
        """Read the settings. Raise `SettingsError`."""
        given = {"broker_url": self.broker_url, "namespace": self.namespace}
        return load_settings(command_line=given, file=self.config)

    @asynccontextmanager
    async def ledger(self) -> AsyncIterator[tuple[Ledger, str]]:
        """Open the site's ledger, which must be there; the text says which it is, for people."""
        values = self.settings().values
        broker = open_existing(values.broker_url, values.namespace, declare=values.declare)
        try:
            yield broker.ledger(), f"{broker.name}, namespace {values.namespace}"
        finally:
            await broker.close()

    def command(self, *words: str) -> str:
        """Return a command for people to type that goes to this same site. A URL may hold a password, and is left
        for them to fill in."""
        given: Sequence[tuple[str, str | None]] = (
            ("--broker-url", self.broker_url and ("URL" if "@" in self.broker_url else self.broker_url)),
            ("--namespace", self.namespace),
            ("--config", self.config),
        )
        options = [word for option, value in given if value is not None for word in (option, value)]
        return shlex.join(["bridge-dlq", *options, *words])


def site_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that make its `Site`, so that they may stand before the command or behind it."""

    def note(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        site = ctx.find_object(Site) or Site()
        ctx.obj = site if value is None else replace(site, **{str(param.name): value})

    for option, metavar, text in (
        ("--config", "FILE", "The settings' file [bridge.toml]."),
        ("--namespace", "NAME", "The prefix of all names on the broker [bridge]."),
        ("--broker-url", "URL", "sqlite:///path, amqp://… or amqps://…, else as the site's settings."),
    ):
        command = click.option(option, metavar=metavar, help=text, callback=note, expose_value=False)(command)
    return command


def actor() -> str:
    """Return who decides, as the ledger remembers it: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user often has no name
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"
