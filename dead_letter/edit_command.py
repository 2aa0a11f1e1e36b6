"""`bridge-dlq edit`: puts the event of a letter back with other data, as a new event that is linked to the old one."""

import os
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

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
from bridge.event import Event
from bridge.ledger import Letter
from dead_letter.editing import json_value, new_id, put_back_edited, text_to_edit, why_not
from dead_letter.ledger_access import open_ledger, read_one


@click.command()
@site_options
@click.argument("letter", metavar="NUMBER|ID_END")
@click.option(
    "--data-file",
    type=click.File("rb"),
    metavar="FILE",
    help="Take the data from this file, or with - from standard input, instead of an editor.",
)
@click.option(
    "--reason", "note", default="", callback=read_by(argument_text), metavar="TEXT", help="The reason, for the ledger."
)
@options.as_json("Print the number of the letter and the id of the new event as one JSON object.")
@click.pass_obj
def edit(site: Site, /, letter: str, data_file: BinaryIO | None, note: str, as_json: bool) -> None:
    """Change the data of a letter's event in your editor, and put it back into its queue with a new id.

    The letter is redriven, and its decision names the new event. The new event keeps the name, the queue, the trace and
    the history of the old one, and the listeners that have finished. $VISUAL or $EDITOR is the editor.

    \b
    Examples:
      bridge-dlq edit 17 --reason 'the address was wrong'
      bridge-dlq show 17 --body --unredacted | jq '.to = "bob"' | bridge-dlq edit 17 --data-file -
    """
    if data_file is None and not (sys.stdin.isatty() and sys.stdout.isatty()):
        why = "there is no terminal for an editor: give the data by --data-file FILE, or - for standard input"
        raise Failure(why, ExitCode.USAGE)
    history, content = run(read_one(site, letter))
    if not history.open:
        raise Failure(f"letter {history.letter.number} is decided already", ExitCode.INCOMPLETE)
    old = content.revived(datetime.now(UTC)).event
    data = _edited(old) if data_file is None else data_file.read()
    limit = site.settings().values.max_body
    _check(old, data, limit)
    if data == old.data:
        click.echo("The data are the same: nothing was changed. To put the letter back as it is, redrive it.", err=True)
        click.get_current_context().exit(ExitCode.INCOMPLETE)
    new = run(_put_back(site, history.letter.number, content, data, note))
    if as_json:
        print_json_lines([{"letter": history.letter.number, "event": new.id}])
    else:
        click.echo(f"Letter {history.letter.number} is redriven as event {new.id}.")


def _edited(event: Event) -> bytes:
    """Return the data as the user leaves them in the editor."""
    text = text_to_edit(event)
    if text is None:
        raise Failure("the data are no text: give --data-file", ExitCode.USAGE)
    extension = ".txt" if json_value(event.data) is None else ".json"
    shown = text.encode()  # click changes the line ends of a text, and leaves bytes as they are
    found = click.edit(shown, extension=extension, require_save=False)
    return event.data if found is None or found == shown else found


def _check(event: Event, data: bytes, limit: int) -> None:
    """Raise `Failure` for data that the app could not take. What was edited is kept in a file then."""
    if (why := why_not(event, data, limit)) is not None:
        raise Failure(f"{why}; nothing was changed. What was given is in {_kept(data)}", ExitCode.USAGE)


def _kept(data: bytes) -> Path:
    path = Path(f"bridge-edit-{secrets.token_hex(4)}").absolute()
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)
    return path


async def _put_back(site: Site, number: int, letter: Letter, data: bytes, note: str) -> Event:
    now = datetime.now(UTC)
    async with open_ledger(site) as (ledger, _):
        return await put_back_edited(ledger, number, letter, data, actor(), note, now, new_id(now))
