"""`bridge-dlq edit`: puts the event of a letter back with other data, as a new event that is linked to the old one."""

import json
import os
import secrets
from dataclasses import replace
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
from bridge.event import Event, event_id
from bridge.ledger import Letter
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
    """Return the data as the user leaves them in the editor. JSON is indented for it."""
    value = _json(event.data)
    try:
        text = event.data.decode() if value is None else json.dumps(value[0], indent=2, ensure_ascii=False) + "\n"
    except UnicodeDecodeError as error:
        raise Failure("the data are no text: give --data-file", ExitCode.USAGE) from error
    found = click.edit(text, extension=".txt" if value is None else ".json", require_save=False)
    if found is None or found == text:
        return event.data
    return found.encode()


def _check(event: Event, data: bytes, limit: int) -> None:
    """Raise `Failure` for data that the app could not take. What was edited is kept in a file then."""
    why = ""
    if len(data) > limit:
        why = f"the data have {len(data):,} bytes, max_body is {limit:,}"
    elif _json(event.data) is not None and _json(data) is None:
        why = "the data are no JSON, as the old data are"
    if why:
        raise Failure(f"{why}; nothing was changed. What was given is in {_kept(data)}", ExitCode.USAGE)


def _kept(data: bytes) -> Path:
    path = Path(f"bridge-edit-{secrets.token_hex(4)}").absolute()
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)
    return path


def _json(data: bytes) -> tuple[object] | None:
    """Return the JSON value of the data in a tuple; None for other data."""
    try:
        return (json.loads(data),)
    except (ValueError, RecursionError):
        return None


async def _put_back(site: Site, number: int, letter: Letter, data: bytes, note: str) -> Event:
    """Put the event back with these data and a new id, record the decision, and return the new event."""
    now = datetime.now(UTC)
    envelope = letter.revived(now)
    new = replace(envelope.event, id=event_id(now, os.urandom(10)), time=now, data=data)
    why = f"edited, as event {new.id}{f': {note}' if note else ''}"
    async with open_ledger(site) as (ledger, _), ledger.deciding() as decisions:
        await decisions.redrive(number, replace(envelope, event=new), letter.queue, actor(), why)
    return new
