"""bridge-dlq: the commands and what they take. What they do is in the files beside."""

import asyncio
import errno
import io
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from bridge.errors import BridgeError, SettingsError, UnreadableEnvelope
from bridge.ledger import Dead, Filter, Letter, grouped
from dead_letter.choosing import History, NotOneLetter, find, open_now
from dead_letter.deciding import Order, carry_out
from dead_letter.letter_page import letter_to_document, print_letter
from dead_letter.options import filter_options, filter_words, rate_option
from dead_letter.rendering import (
    age,
    group_to_json,
    letter_to_json,
    letters_of,
    next_commands,
    print_candidates,
    print_groups,
    print_json,
    print_letters,
    terminal,
    visible,
)
from dead_letter.site import BrokerFailed, Incomplete, Misused, Site, site_options

ROWS = 50
INTERRUPTED = 130


class _Program(click.Group):
    """A group whose commands raise the bridge's errors; each ends the program with a sentence and its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()  # here, where it can still be said that it failed
        except NotOneLetter as error:
            print_candidates(terminal(sys.stderr), error.candidates, datetime.now(UTC))
            raise Misused(str(error)) from error
        except SettingsError as error:
            raise Misused(str(error)) from error
        except UnreadableEnvelope as error:
            raise Incomplete(str(error)) from error
        except BridgeError as error:
            raise BrokerFailed(str(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # whoever read has seen enough: click ends in silence
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left cannot fail once more
            raise Incomplete(f"the output cannot be written: {error.strerror}") from error
        except KeyboardInterrupt:
            click.echo("\nInterrupted.", err=True)
            ctx.exit(INTERRUPTED)


@click.group(cls=_Program, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="deferred-event-bridge")
@site_options
@click.pass_context
def main(ctx: click.Context) -> None:
    """Look at the events that ended as dead letters, and decide about them.

    Without a command: list.

    \b
    Examples:
      bridge-dlq                                   what died, by event, queue and error
      bridge-dlq list --ids --event 'order.#'      the letters, newest first
      bridge-dlq show 17                           one letter, whole
      bridge-dlq redrive --queue mail --rate 50/s  back into their queue
      bridge-dlq discard 17 18 --reason 'a test'   let them go

    \b
    Exit codes: 0 done; 1 not all was done (skipped, decided before, not confirmed); 2 usage or settings;
    3 the broker cannot be reached or refuses; 130 ended by Ctrl-C, 143 by SIGTERM.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows less than UTF-8 is no reason to end
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_letters)


@main.command("list")
@site_options
@filter_options
@click.option("--ids", is_flag=True, help="A row for each letter, newest first.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help=f"Rows of --ids [{ROWS}; with --json, all].")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, a group or with --ids a letter.")
@click.pass_obj
def list_letters(site: Site, /, ids: bool, limit: int | None, as_json: bool, **chosen: Any) -> None:
    """Count the open dead letters by event, queue and error; or list them.

    \b
    Examples:
      bridge-dlq list --older 2h
      bridge-dlq list --ids --error timeout --limit 200
      bridge-dlq list --ids --json | jq .id
    """
    wanted, now = Filter(**chosen), datetime.now(UTC)
    letters, where = asyncio.run(_read(site, wanted, now))
    rows = letters[::-1][: limit or (None if as_json else ROWS)]
    if as_json:
        print_json(map(letter_to_json, rows) if ids else map(group_to_json, grouped(letters)))
    elif not letters:
        meant = " that these filters mean" if filter_words(wanted) else ""
        click.echo(f"No open dead letters{meant} in {visible(where)}: nothing waits for a decision.")
    else:
        if ids:
            print_letters(terminal(), rows, now)
        else:
            print_groups(terminal(), grouped(letters), now)
        click.echo(f"\n{_total(letters, len(rows) if ids else None, now)}\n{_next(site, wanted, letters, ids)}")


@main.command()
@site_options
@click.argument("letter", metavar="NUMBER|ID_END")
@click.option("--body", is_flag=True, help="Write the event's data, byte for byte, and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def show(site: Site, /, letter: str, body: bool, as_json: bool) -> None:
    """Show a dead letter whole: its attempts, errors, last request and reply, payload, and what was decided.

    It is named by its number, or by the end of the event's id.

    \b
    Examples:
      bridge-dlq show 17
      bridge-dlq show 8f3a1c2e
      bridge-dlq show 17 --body > payload
    """
    if body and as_json:
        raise click.UsageError("--body and --json: expected one of them")
    history, whole = asyncio.run(_read_one(site, letter))
    if body:
        _write_body(whole.envelope.event.data)
    elif as_json:
        print_json([letter_to_document(history, whole)])
    else:
        number = str(history.letter.number)
        print_letter(terminal(), history, whole, datetime.now(UTC))
        if history.open:
            click.echo(f"\n{next_commands(site.command('redrive', number), site.command('discard', number))}")


def _deciding_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options: tuple[Callable[..., Any], ...] = (
        click.option("--json", "as_json", is_flag=True, help="One JSON object a line: each letter and its result."),
        click.option("--reason", "note", default="", metavar="TEXT", help="Why; the ledger keeps it."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--dry-run", is_flag=True, help="Only tell what would be done."),
        rate_option,
        click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many, the oldest."),
        filter_options,
        click.option("--all", "every", is_flag=True, help="Every open dead letter."),
        click.argument("letters", nargs=-1, metavar="[NUMBER|ID_END]..."),
        click.pass_obj,
    )
    for option in options:
        command = option(command)
    return command


@main.command()
@site_options
@_deciding_options
def redrive(site: Site, /, **options: Any) -> None:
    """Put dead letters back into their own queues, each as a new round of attempts.

    Letters are named by number or by the end of the event's id, or meant by filters. Ctrl-C finishes the letter in
    hand; the same command goes on with the rest.

    \b
    Examples:
      bridge-dlq redrive 17 8f3a1c2e
      bridge-dlq redrive --event 'order.#' --error timeout --rate 50/s
      bridge-dlq redrive --all --limit 10 --dry-run
    """
    click.get_current_context().exit(carry_out(site, _order("redrive", **options)))


@main.command()
@site_options
@_deciding_options
def discard(site: Site, /, **options: Any) -> None:
    """Let dead letters go. Their entries stay in the ledger; they are open no more.

    \b
    Examples:
      bridge-dlq discard 17 --reason 'sent by hand'
      bridge-dlq discard --queue mail --older 4d --yes
    """
    click.get_current_context().exit(carry_out(site, _order("discard", **options)))


def _order(verb: Any, letters: tuple[str, ...], every: bool, interval: float | None, **options: Any) -> Order:
    """Return what was asked for. Raise `UsageError` where it is not said, or said twice, which letters are meant."""
    rest = {key: options.pop(key) for key in ("limit", "dry_run", "yes", "note", "as_json")}
    wanted = Filter(**options)
    said = [bool(letters), bool(filter_words(wanted)), every]
    if said.count(True) != 1:
        raise click.UsageError(f"{verb} which letters? Expected numbers or ids, or filters, or --all: one of the three")
    return Order(verb, letters or wanted, interval=interval or 0.0, **rest)


async def _read(site: Site, wanted: Filter, now: datetime) -> tuple[list[Dead], str]:
    async with site.ledger() as (ledger, where):
        return await open_now(ledger, wanted, now), where


async def _read_one(site: Site, reference: str) -> tuple[History, Letter]:
    async with site.ledger() as (ledger, _):
        history = (await find(ledger, [reference]))[reference]
        letter = await ledger.letter(history.letter.number)
    if letter is None:
        raise Incomplete(f"{reference}: the ledger no longer holds this letter")
    return history, letter


def _write_body(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    if sys.stdout.isatty() and visible(text, lines=True) != text:
        raise Misused("the data hold what a terminal would obey instead of showing: send --body to a file or a pipe")
    sys.stdout.buffer.write(data)


def _total(letters: list[Dead], shown: int | None, now: datetime) -> str:
    """Return the last line of a list: how many there are, and from when."""
    times = [letter.time for letter in letters]
    since = f"the oldest {age(min(times), now)} ago, the newest {age(max(times), now)} ago"
    of = f"The newest {shown:,} of " if shown is not None and shown < len(letters) else ""
    return f"{of}{letters_of(len(letters), 'open ')}, {since}."


def _next(site: Site, wanted: Filter, letters: list[Dead], ids: bool) -> str:
    """Return what a person may want to type now."""
    words = filter_words(wanted)
    look = site.command("show", str(letters[-1].number)) if ids else site.command("list", "--ids", *words)
    return next_commands(look, site.command("redrive", *(words or ["--all"]), "--dry-run"))


if __name__ == "__main__":
    main(prog_name="bridge-dlq")
