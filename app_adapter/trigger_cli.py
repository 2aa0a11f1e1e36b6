"""`bridge-outbox trigger`: prints the statements of a trigger that writes events into the outbox."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from bridge.config.settings import Settings, load_settings
from bridge.config.store_settings import StoreSettings, database_of, outboxes
from bridge.console import options
from bridge.console.option_values import read_by
from bridge.errors import SettingsError
from bridge.publishing.outboxes import of_outbox
from bridge.topics import is_name, is_reserved

OPERATIONS = ("insert", "update", "delete")
LONGEST_WORD = 100
SOURCE = "trigger"
"""The source of the events, unless the site has a `source`."""


def _operations(text: str) -> tuple[str, ...]:
    given = tuple(dict.fromkeys(_listed(text)))
    if not given or not set(given) <= set(OPERATIONS):
        raise ValueError(f"{text!r:.80}: expected some of {','.join(OPERATIONS)}")
    return given


def _listed(text: str) -> tuple[str, ...]:
    """Return the names in a list with commas. A name with a comma is not among them: such a column is left out."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _columns(text: str) -> tuple[str, ...]:
    if not (given := _listed(text)):
        raise ValueError(f"{text!r:.80}: expected names of columns, such as title,price")
    return given


@click.command()
@click.argument("table")
@click.option(
    "--on",
    "operations",
    callback=read_by(_operations),
    metavar="OPERATIONS",
    default=",".join(OPERATIONS),
    show_default=True,
    help="What makes an event.",
)
@click.option(
    "--columns",
    callback=read_by(_columns),
    metavar="NAMES",
    help="The columns in the events. An update of others makes none. [all]",
)
@click.option("--name", metavar="WORD", help="The first word of the events' names. [the table's name]")
@click.option("--drop", is_flag=True, help="Print the statements that drop the trigger.")
@click.option("--store", metavar="NAME", help="One of [stores]. [the only one]")
@options.namespace()
@options.config()
def trigger(
    table: str,
    operations: tuple[str, ...],
    columns: tuple[str, ...] | None,
    name: str | None,
    drop: bool,
    store: str | None,
    namespace: str | None,
    config: str | None,
) -> None:
    """Print the statements of a trigger: each row of TABLE that a program inserts, updates or deletes becomes an event
    in the outbox, such as article.updated, with its old and new values. The table is read from the database of the
    store, and nothing is changed there.

    \b
    Examples:
      bridge-outbox trigger article | psql shop
      bridge-outbox trigger article --on update --columns title,price | psql shop
      bridge-outbox trigger article --drop | psql shop
    """
    settings = load_settings(command_line={"namespace": namespace}, file=config)
    chosen, word = _store(settings, store), _word(table, name)
    watched = asyncio.run(_watched(chosen, settings, table, columns))
    made = of_outbox("triggers.trigger").Trigger(watched, operations, word, settings.values.source or SOURCE)
    print_for = of_outbox("triggers.statements").dropping if drop else of_outbox("triggers.statements").creating
    for statement in print_for(made, database_of(chosen.url)):
        click.echo(f"{statement};\n")


async def _watched(store: StoreSettings, settings: Settings, table: str, columns: Sequence[str] | None) -> Any:
    """Return the table as it is in the database."""
    database = of_outbox("database").Database(store.url_with_password())
    tables = of_outbox("tables").tables(settings.values.namespace)
    try:
        return await database.run(partial(of_outbox("triggers.watched_table").watched_table, table, columns, tables))
    finally:
        await database.close()


def _store(settings: Settings, name: str | None) -> StoreSettings:
    stores = outboxes(settings.values.stores)
    if name is None and len(stores) == 1:
        return next(iter(stores.values()))
    if name is None or name not in stores:
        expected = ", ".join(stores) or "[stores] of bridge.toml, which has none"
        raise SettingsError(f"--store {name or ''}: expected one of {expected}")
    return stores[name]


def _word(table: str, name: str | None) -> str:
    word = table.rpartition(".")[2] if name is None else name
    if not is_name(f"{word}.inserted") or is_reserved(f"{word}.") or len(word) > LONGEST_WORD:
        raise SettingsError(
            f"--name {word}: expected a word of A-Z a-z 0-9 _ - for the names of the events, at most {LONGEST_WORD}"
        )
    return word
