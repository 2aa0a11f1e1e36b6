"""`bridge-outbox`: prints the statements that make the tables of the outbox, counts what waits in outboxes, and deletes
old marks. Relaying is `bridge-relay`'s, and `trigger_cli` has `bridge-outbox trigger`.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial

import click

from app_adapter.trigger_cli import trigger
from bridge.config.settings import Settings, load_settings
from bridge.config.store_settings import StoreSettings, database_of, outboxes
from bridge.console import options
from bridge.console.option_values import positive_time, read_by
from bridge.console.printable import json_text, printable
from bridge.console.program import HELP, ProgramGroup, version_option
from bridge.console.quantities import duration_text
from bridge.errors import SettingsError
from bridge.publishing.outboxes import of_outbox, waiting_in
from bridge.publishing.stores import Waiting

DIALECTS = ("postgresql", "mariadb", "mysql", "sqlite")

_store = click.option("--store", metavar="NAME", help="One of [stores]. [all of them]")


@click.group(cls=ProgramGroup, context_settings=HELP)
@version_option
def main() -> None:
    """Look after the outbox in the app's database.

    \b
    Examples:
      bridge-outbox ddl --dialect postgresql | psql shop
      bridge-outbox trigger article --on update --columns title | psql shop
      bridge-outbox list                       what waits in each outbox
      bridge-outbox prune --older-than 30d     delete marks of listeners that ran once

    \b
    Exit codes: 0 done; 2 wrong usage or settings; 3 the database cannot be reached or refuses.
    """


main.add_command(trigger)


@main.command()
@click.option("--dialect", type=click.Choice(DIALECTS), help="The kind of database. [that of the only one in [stores]]")
@options.namespace()
@options.config()
def ddl(dialect: str | None, namespace: str | None, config: str | None) -> None:
    """Print the statements that make the tables of the outbox. They are run once, by whoever may create tables."""
    settings = load_settings(command_line={"namespace": namespace}, file=config)
    statements = of_outbox("tables").statements
    for statement in statements(dialect or _only_dialect(settings), settings.values.namespace):
        click.echo(f"{statement};\n")


@main.command("list")
@_store
@options.as_json("Print one JSON object.")
@options.namespace()
@options.config()
def list_outboxes(store: str | None, as_json: bool, namespace: str | None, config: str | None) -> None:
    """Count the events that wait in the outboxes, with the age of the oldest."""
    settings = load_settings(command_line={"namespace": namespace}, file=config)
    found = {
        name: asyncio.run(waiting_in(each, settings.values.namespace))
        for name, each in _chosen(settings, store).items()
    }
    now = datetime.now(UTC)
    if as_json:
        click.echo(
            json_text(
                {name: {"events": each.events, "oldest_seconds": _age(each, now)} for name, each in found.items()}
            )
        )
        return
    for name, waiting in found.items():
        seconds = _age(waiting, now)
        oldest = "" if seconds is None else f", the oldest {duration_text(seconds)} old"
        click.echo(f"{printable(name)}: {waiting.events} events{oldest}")


@main.command()
@_store
@click.option(
    "--older-than",
    callback=read_by(positive_time),
    metavar="TIME",
    default="30d",
    show_default=True,
    help="Delete marks of this age: 12h, 30d.",
)
@options.namespace()
@options.config()
def prune(store: str | None, older_than: timedelta, namespace: str | None, config: str | None) -> None:
    """Delete the marks of listeners that ran once. bridge-relay does that too, every hour, by `keep_marks`."""
    settings = load_settings(command_line={"namespace": namespace}, file=config)
    for name, each in _chosen(settings, store).items():
        count = asyncio.run(_pruned(each, settings, datetime.now(UTC) - older_than))
        click.echo(f"{printable(name)}: {count} marks deleted")


async def _pruned(store: StoreSettings, settings: Settings, before: datetime) -> int:
    database = of_outbox("database").Database(store.url_with_password())
    tables = of_outbox("tables").tables(settings.values.namespace)
    prune_some, count = partial(of_outbox("marks").prune, tables, before), 0
    try:
        while deleted := await database.run(prune_some):
            count += deleted
        await database.run(partial(of_outbox("marks").prune_keys, tables))
        return count
    finally:
        await database.close()


def _age(waiting: Waiting, now: datetime) -> float | None:
    """Return the age of the oldest event in seconds; None without an event."""
    return None if waiting.oldest is None else (now - waiting.oldest).total_seconds()


def _chosen(settings: Settings, store: str | None) -> Mapping[str, StoreSettings]:
    stores = outboxes(settings.values.stores)
    if store is not None and store not in stores:
        raise SettingsError(f"--store {store}: expected one of {', '.join(stores) or '[stores] of bridge.toml'}")
    if not stores:
        raise SettingsError("stores: expected a table such as [stores.shop] in bridge.toml, with the database's url")
    return stores if store is None else {store: stores[store]}


def _only_dialect(settings: Settings) -> str:
    dialects = {database_of(store.url) for store in outboxes(settings.values.stores).values()}
    if len(dialects) != 1:
        raise SettingsError(f"--dialect: expected one of {', '.join(DIALECTS)}")
    return dialects.pop()
