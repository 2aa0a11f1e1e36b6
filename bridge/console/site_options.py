"""The options that locate a site, before or after a command's name, and the site's broker that they name."""

import shlex
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import click

from bridge.brokers.contract.broker import Broker
from bridge.brokers.opening import open_existing
from bridge.config.settings import Settings, load_settings
from bridge.config.sqlite_url import is_sqlite
from bridge.console import options


@dataclass(frozen=True, slots=True)
class Site:
    """The options that locate a site. They are read when a command needs them."""

    broker_url: str | None = field(default=None, repr=False)
    namespace: str | None = None
    config: str | None = None

    def settings(self) -> Settings:
        """Read the settings. Raise `SettingsError`."""
        given = {"broker_url": self.broker_url, "namespace": self.namespace}
        return load_settings(command_line=given, file=self.config)

    def command(self, program: str, *words: str) -> str:
        """Return a command line for the same site, for people to type.

        A broker URL that may have a password is replaced by the word URL.
        """
        given: Sequence[tuple[str, str | None]] = (
            ("--broker-url", self.broker_url and (self.broker_url if is_sqlite(self.broker_url) else "URL")),
            ("--namespace", self.namespace),
            ("--config", self.config),
        )
        found = [word for option, value in given if value is not None for word in (option, value)]
        return shlex.join([program, *found, *words])


@asynccontextmanager
async def existing_broker(settings: Settings) -> AsyncIterator[Broker]:
    """Open the site's broker, which must exist, and close it at the end of the block."""
    values = settings.values
    broker = open_existing(
        values.broker_url,
        values.namespace,
        declare=values.declare,
        file_group=values.file_group,
        tls=settings.tls(),
        keys=settings.ledger_keys(),
    )
    try:
        yield broker
    finally:
        await broker.close()


def site_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `Site` to a command. A command gets the `Site` by `click.pass_obj`."""

    def note(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        site = ctx.find_object(Site) or Site()
        ctx.obj = site if value is None else replace(site, **{str(param.name): value})

    for option in (options.config, options.namespace, options.broker_url):
        command = option(callback=note, expose_value=False)(command)
    return command
