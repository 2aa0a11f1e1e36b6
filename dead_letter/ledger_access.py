"""The ledger that the program works on, by the command line and the settings."""

import shlex
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import click

from bridge.brokers.contract.ledger import Ledger
from bridge.config.settings import Settings
from bridge.config.sqlite_url import is_sqlite
from bridge.console import options
from bridge.console.site_options import Site, existing_broker


@dataclass(frozen=True, slots=True)
class LedgerAccess:
    """The options that locate the ledger. They are read and the ledger is opened when a command needs it."""

    broker_url: str | None = field(default=None, repr=False)
    namespace: str | None = None
    config: str | None = None

    def settings(self) -> Settings:
        """Read the settings. Raise `SettingsError`."""
        return Site(self.broker_url, self.namespace, self.config).settings()

    @asynccontextmanager
    async def ledger(self) -> AsyncIterator[tuple[Ledger, str]]:
        """Open the site's ledger, which must exist. Yield it with its description for people."""
        settings = self.settings()
        async with existing_broker(settings) as broker:
            yield broker.ledger(), f"{broker.name}, namespace {settings.values.namespace}"

    def command(self, *words: str) -> str:
        """Return a command line for the same site, for people to type.

        A broker URL that may have a password is replaced by the word URL.
        """
        given: Sequence[tuple[str, str | None]] = (
            ("--broker-url", self.broker_url and (self.broker_url if is_sqlite(self.broker_url) else "URL")),
            ("--namespace", self.namespace),
            ("--config", self.config),
        )
        options = [word for option, value in given if value is not None for word in (option, value)]
        return shlex.join(["bridge-dlq", *options, *words])


def site_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `LedgerAccess` to a command. They may be given before or after the command's name."""

    def note(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        site = ctx.find_object(LedgerAccess) or LedgerAccess()
        ctx.obj = site if value is None else replace(site, **{str(param.name): value})

    for option in (options.config, options.namespace, options.broker_url):
        command = option(callback=note, expose_value=False)(command)
    return command
