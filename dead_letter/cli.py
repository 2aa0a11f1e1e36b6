"""`bridge-dlq`: the commands and their options. The other modules of this package do the work."""

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from bridge.console import options
from bridge.console.event_loop import run
from bridge.console.exit_codes import ExitCode
from bridge.console.printable import printable
from bridge.console.program import HELP, Failure, ProgramGroup, version_option
from bridge.console.site_options import Site, site_options
from bridge.console.terminal import print_json_lines, terminal
from bridge.ledger import Dead, Filter, grouped, span
from bridge.redaction import Redaction
from dead_letter.at_home import export, replay
from dead_letter.choosing import Choice, LetterReader, NotOneLetter
from dead_letter.decision_command import DecisionOptions, carry_out
from dead_letter.edit_command import edit
from dead_letter.erase_command import erase
from dead_letter.groups_cli import groups
from dead_letter.ledger_access import PROGRAM, open_ledger, read_one
from dead_letter.letter_page import letter_to_document, print_letter
from dead_letter.options import deciding_options, filter_options, filter_words, redrive_options
from dead_letter.plan_command import PlanOptions, plan_redrive
from dead_letter.plans_cli import plans
from dead_letter.rendering import (
    ago,
    group_to_json,
    letter_to_json,
    letters_of,
    next_commands,
    print_candidates,
    print_groups,
    print_letters,
    skipped_lines,
)

ROWS = 50

CANARY = 10
"""Letters of the first step of a plan."""

WAIT = 300.0
"""Seconds that a plan waits for what becomes of the events of a step."""


class _Program(ProgramGroup):
    """Shows the candidates if a number or an id's end names several letters."""

    def invoke_command(self, ctx: click.Context) -> Any:
        try:
            return super().invoke_command(ctx)
        except NotOneLetter as error:
            print_candidates(terminal(sys.stderr), error.candidates, datetime.now(UTC))
            raise Failure(str(error), ExitCode.USAGE) from error


@click.group(cls=_Program, without="list", context_settings=HELP)
@version_option
@site_options
def main() -> None:
    """List, show, redrive and discard the events that ended as dead letters.

    Without a command: list, with its options.

    \b
    Examples:
      bridge-dlq                                   count by event, queue and error
      bridge-dlq list --ids --event 'order.#'      list the letters, newest first
      bridge-dlq show 17                           show everything about one letter
      bridge-dlq groups                            what is dead and what is retrying, by cause
      bridge-dlq redrive --queue mail --rate 50/s  put letters back into their queue
      bridge-dlq discard 17 18 --reason 'a test'   close letters without a redrive

    \b
    Exit codes: 0 done; 1 not all done (skipped, already decided, not confirmed); 2 wrong usage or settings;
    3 the broker cannot be reached or refuses; 130 ended by Ctrl-C, 143 by SIGTERM.
    """


@main.command("list")
@site_options
@filter_options
@click.option("--ids", is_flag=True, help="Print a row for each letter, newest first.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help=f"Most rows of --ids [{ROWS}; with --json, all].")
@options.as_json("Print a JSON object for each group, or with --ids for each letter.")
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
    choice, where = run(_read(site, wanted, now))
    letters = choice.letters
    rows = letters[::-1][: limit or (None if as_json else ROWS)]
    if as_json:
        print_json_lines(map(letter_to_json, rows) if ids else map(group_to_json, grouped(letters)))
    elif not letters:
        matching = " match these filters" if filter_words(wanted) else ""
        click.echo(f"No open dead letters{matching} in {printable(where)}: nothing waits for a decision.")
        click.echo(f"Events that failed and are still retried: {site.command(PROGRAM, 'groups')}")
    else:
        if ids:
            print_letters(terminal(), rows, now)
        else:
            print_groups(terminal(), grouped(letters), now)
        click.echo(f"\n{_total(letters, len(rows) if ids else None, now)}\n{_next(site, wanted, letters, ids)}")
    for line in skipped_lines(choice.skipped):
        click.echo(line, err=True)


@main.command()
@site_options
@click.argument("letter", metavar="NUMBER|ID_END")
@click.option("--body", is_flag=True, help="Write the event's data, and nothing else.")
@click.option("--unredacted", is_flag=True, help="Also what the setting `redact` hides; --body then byte for byte.")
@options.as_json("Print one JSON document.")
@click.pass_obj
def show(site: Site, /, letter: str, body: bool, unredacted: bool, as_json: bool) -> None:
    """Show a dead letter: its attempts, errors, last request and reply, payload, and decisions.

    A letter is named by its number, or by the end of its event's id. Fields that the setting `redact` names are hidden.

    \b
    Examples:
      bridge-dlq show 17
      bridge-dlq show 8f3a1c2e
      bridge-dlq show 17 --body > payload
    """
    if body and as_json:
        raise click.UsageError("--body and --json: expected one of them")
    history, content = run(read_one(site, letter))
    if not unredacted:
        content = Redaction(site.settings().values.redact).in_letter(content)
    if body:
        _write_body(content.envelope.event.data)
    elif as_json:
        print_json_lines([letter_to_document(history, content)])
    else:
        number = str(history.letter.number)
        print_letter(terminal(), history, content, datetime.now(UTC))
        if history.open:
            click.echo(
                "\n"
                + next_commands(
                    site.command(PROGRAM, "redrive", number),
                    site.command(PROGRAM, "discard", number),
                    site.command(PROGRAM, "replay", number, "--app", "APP"),
                )
            )


@main.command()
@site_options
@deciding_options
@redrive_options
def redrive(
    site: Site,
    /,
    planned: bool,
    canary: int | None,
    abort_over: float | None,
    wait: timedelta | None,
    when_released: str | None,
    **given: Any,
) -> None:
    """Put dead letters back into their own queues, each as a new round of attempts.

    Letters are named by number or by the end of the event's id, or selected by filters. Ctrl-C stops after the letters
    in hand; the same command continues with the remaining letters.

    \b
    Examples:
      bridge-dlq redrive 17 8f3a1c2e
      bridge-dlq redrive --event 'order.#' --error timeout --rate 50/s
      bridge-dlq redrive --all --limit 10 --dry-run
      bridge-dlq redrive --group 1f3a9c0e --plan --canary 20 --rate 50/s
    """
    chosen = replace(_checked("redrive", **given), when_released=when_released)
    if planned:
        wanted = PlanOptions(canary or CANARY, abort_over, WAIT if wait is None else wait.total_seconds())
        code = plan_redrive(site, chosen, wanted)
    elif canary is not None or abort_over is not None or wait is not None:
        raise click.UsageError("--canary, --abort-over and --wait: expected with --plan only")
    else:
        code = carry_out(site, chosen)
    click.get_current_context().exit(code)


@main.command()
@site_options
@deciding_options
def discard(site: Site, /, **given: Any) -> None:
    """Discard dead letters. Their entries stay in the ledger, marked as discarded.

    \b
    Examples:
      bridge-dlq discard 17 --reason 'sent by hand'
      bridge-dlq discard --queue mail --older 4d --yes
    """
    click.get_current_context().exit(carry_out(site, _checked("discard", **given)))


def _checked(verb: Any, letters: tuple[str, ...], every: bool, interval: float | None, **given: Any) -> DecisionOptions:
    """Return the options of the decision. Raise `UsageError` unless letters are chosen in exactly one way."""
    others = {key: given.pop(key) for key in ("limit", "dry_run", "yes", "note", "as_json")}
    wanted = Filter(**given)
    selections = [bool(letters), bool(filter_words(wanted)), every]
    if selections.count(True) != 1:
        raise click.UsageError(f"{verb} which letters? Expected numbers or ids, or filters, or --all: one of the three")
    return DecisionOptions(verb, letters or wanted, interval=interval or 0.0, **others)


async def _read(site: Site, wanted: Filter, now: datetime) -> tuple[Choice, str]:
    async with open_ledger(site) as (ledger, where):
        return await LetterReader(wanted, now).read_new(ledger), where


def _write_body(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    if sys.stdout.isatty() and printable(text, lines=True) != text:
        why = "the data have control characters that a terminal would execute: send --body to a file or a pipe"
        raise Failure(why, ExitCode.USAGE)
    sys.stdout.buffer.write(data)


def _total(letters: list[Dead], shown: int | None, now: datetime) -> str:
    """Return the last line of a list: the count of letters and their ages."""
    oldest, newest = span(letter.time for letter in letters)
    since = f"the oldest {ago(oldest, now)}, the newest {ago(newest, now)}"
    of = f"The newest {shown:,} of " if shown is not None and shown < len(letters) else ""
    return f"{of}{letters_of(len(letters), 'open ')}, {since}."


def _next(site: Site, wanted: Filter, letters: list[Dead], ids: bool) -> str:
    """Return the commands that a user may type next."""
    words = filter_words(wanted)
    look = (
        site.command(PROGRAM, "show", str(letters[-1].number))
        if ids
        else site.command(PROGRAM, "list", "--ids", *words)
    )
    return next_commands(look, site.command(PROGRAM, "redrive", *(words or ["--all"]), "--dry-run"))


for command in (groups, plans, replay, export, edit, erase):
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="bridge-dlq")
