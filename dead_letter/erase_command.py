"""`bridge-dlq erase`: removes the data of letters for good, where a person must be forgotten."""

import sys
from collections.abc import Sequence

import click

from bridge.console import options
from bridge.console.actor import actor
from bridge.console.encoding import argument_text
from bridge.console.event_loop import run
from bridge.console.exit_codes import ExitCode
from bridge.console.option_values import read_by
from bridge.console.program import Failure
from bridge.console.site_options import Site, site_options
from bridge.console.terminal import print_json_lines
from dead_letter.choosing import find
from dead_letter.editing import erase as erase_letters
from dead_letter.ledger_access import open_ledger
from dead_letter.rendering import letters_of


@click.command()
@site_options
@click.argument("letters", nargs=-1, required=True, metavar="NUMBER|ID_END...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--reason",
    "note",
    required=True,
    callback=read_by(argument_text),
    metavar="TEXT",
    help="The reason, for the ledger.",
)
@options.as_json("Print a JSON object for each letter.")
@click.pass_obj
def erase(site: Site, /, letters: tuple[str, ...], yes: bool, note: str, as_json: bool) -> None:
    """Remove the data of letters for good, their last request and reply, and the messages of their errors.

    Letters that were redriven or discarded can be erased too; open ones are discarded. The number, the event's name and
    id, the queue, the times and the types of the errors stay. On RabbitMQ this is impossible: its ledger is a stream,
    of which a policy removes the oldest part.

    \b
    Examples:
      bridge-dlq erase 17 18 --reason 'request of 2026-11-20'
    """
    if not yes:
        if not sys.stdin.isatty():
            raise Failure("there is no terminal to ask on: give erase --yes", ExitCode.USAGE)
        if not click.confirm(f"Erase {letters_of(len(letters))} for good?", err=True):
            click.echo("Nothing was changed.", err=True)
            click.get_current_context().exit(ExitCode.INCOMPLETE)
    numbers, clean = run(_erase(site, letters, note))
    if as_json:
        print_json_lines({"letter": number, "result": "erased"} for number in numbers)
    else:
        click.echo(f"Erased: {letters_of(len(numbers))}.")
    if not clean:
        why = "other processes use the file: SQLite's journal may hold the old pages until they end"
        click.echo(f"Warning: {why}. Erase again to be sure.", err=True)
        click.get_current_context().exit(ExitCode.INCOMPLETE)


async def _erase(site: Site, references: Sequence[str], note: str) -> tuple[list[int], bool]:
    """Erase the letters. Return their numbers, and False if copies may remain for some time."""
    async with open_ledger(site) as (ledger, _):
        histories = await find(ledger, references)
        numbers = sorted({history.letter.number for history in histories.values()})
        return numbers, await erase_letters(ledger, numbers, actor(), note)
