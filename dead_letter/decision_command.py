"""The commands `bridge-dlq redrive` and `discard`: the question, the progress and the report. `deciding.py` decides."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import click

from bridge.console.actor import actor
from bridge.console.event_loop import run
from bridge.console.exit_codes import BY_SIGNAL, ExitCode
from bridge.console.program import Failure
from bridge.console.signals import stop_on_signals
from bridge.console.site_options import Site
from bridge.console.terminal import print_json_lines, progress_bar, terminal
from bridge.ledger import Dead, Filter, grouped
from dead_letter.choosing import Choice, LetterReader
from dead_letter.deciding import Tally, decide, discarding, redriving
from dead_letter.ledger_access import open_ledger
from dead_letter.released import until_released
from dead_letter.rendering import (
    by_reason,
    decision_text,
    letter_to_json,
    letters_of,
    print_groups,
    print_letters,
    skipped_lines,
)

SAMPLE = 5
"""Most letters that the question shows."""
GROUPS_SHOWN = 8
"""Most groups that the question shows."""


@dataclass(frozen=True, slots=True)
class DecisionOptions:
    """The options of one redrive or discard. `interval` is in seconds. `limit` selects the oldest letters. A redrive
    waits until the workers run the release `when_released`."""

    verb: Literal["redrive", "discard"]
    wanted: Filter | tuple[str, ...]
    limit: int | None
    interval: float
    dry_run: bool
    yes: bool
    note: str
    as_json: bool
    when_released: str | None = None

    @property
    def past(self) -> str:
        """The past participle of the verb: `redriven` or `discarded`."""
        return "redriven" if self.verb == "redrive" else "discarded"


def carry_out(site: Site, options: DecisionOptions) -> int:
    """Ask, decide and report; return the exit code. Only letters that the question counted are decided."""
    reader = LetterReader(options.wanted, datetime.now(UTC), for_redrive=options.verb == "redrive")
    selected = selected_letters(site, options, reader)
    return selected if isinstance(selected, int) else asyncio.run(_decide(site, options, reader, selected))


def selected_letters(site: Site, options: DecisionOptions, reader: LetterReader) -> set[int] | int | None:
    """Ask, wait for the release if one is awaited, and return the numbers of the letters that the question counted,
    None if all that are selected are meant. Return the exit code if nothing is to be decided."""
    selected = _asked(site, options, reader)
    if options.when_released is None or isinstance(selected, int):
        return selected
    by = asyncio.run(until_released(site, options.when_released))
    return selected if by is None else BY_SIGNAL + by


def _asked(site: Site, options: DecisionOptions, reader: LetterReader) -> set[int] | int | None:
    if options.dry_run or not options.yes:
        choice = run(_read(site, reader))
        letters = choice.letters[: options.limit]
        if options.dry_run or not letters:
            return _nothing_decided(options, choice, letters)
        if not sys.stdin.isatty():
            why = f"there is no terminal to ask on: give {options.verb} --yes, or --dry-run to look first"
            raise Failure(why, ExitCode.USAGE)
        if not _confirmed(options, letters, len(choice.letters)):
            click.echo("Nothing was changed.", err=True)
            return ExitCode.INCOMPLETE
        return {letter.number for letter in letters}
    return None


async def _read(site: Site, reader: LetterReader) -> Choice:
    async with open_ledger(site) as (ledger, _):
        return await reader.read_new(ledger)


async def _decide(site: Site, options: DecisionOptions, reader: LetterReader, selected: set[int] | None) -> int:
    """Decide about the selected letters that are still open; return the exit code.

    Another program may have decided while the question was shown. So new entries are read after this program has the
    right to decide.
    """
    async with open_ledger(site) as (ledger, _), ledger.deciding() as decisions:
        choice = await reader.read_new(ledger)
        still_open = [letter for letter in choice.letters if selected is None or letter.number in selected]
        letters = still_open[: options.limit]
        if not letters:
            return _nothing_decided(options, choice, letters)
        say_left_out(choice)
        tally, began = Tally(), time.monotonic()
        try:
            async with aclosing(ledger.letters(letter.number for letter in letters)) as contents:
                verb = (
                    redriving(contents, decisions, actor(), options.note)
                    if options.verb == "redrive"
                    else discarding(decisions, actor(), options.note)
                )
                with _progress(options, len(letters)) as tell, stop_on_signals(_say_stopping) as stop:
                    await decide(letters, verb, tally, interval=options.interval, stop=stop.wished, tell=tell)
        finally:
            left = len(choice.letters) - tally.done - len(tally.skipped)
            _report(options, tally, left, time.monotonic() - began)
    if stop.by is not None:
        return BY_SIGNAL + stop.by
    return ExitCode.INCOMPLETE if tally.skipped or choice.decided else ExitCode.DONE


def _confirmed(options: DecisionOptions, letters: Sequence[Dead], of: int) -> bool:
    """Show the count and a sample of the selected letters, ask, and return True if the answer is yes."""
    _show_selected(letters, sys.stderr)
    of_all = f", the oldest of {of:,}" if of > len(letters) else ""
    question = f"\n{options.verb.capitalize()} {letters_of(len(letters))}{of_all}?"
    try:
        return click.confirm(question, err=True)
    except click.Abort:  # Ctrl-C or the end of input, in place of an answer
        click.echo(err=True)
        return False


def _show_selected(letters: Sequence[Dead], stream: TextIO) -> None:
    """Print the groups of many letters, and the oldest letters."""
    console, now = terminal(stream), datetime.now(UTC)
    if len(letters) > SAMPLE:
        groups = grouped(letters)
        print_groups(console, groups[:GROUPS_SHOWN], now)
        if len(groups) > GROUPS_SHOWN:
            console.print(f"… and {len(groups) - GROUPS_SHOWN:,} more groups")
        console.print("\nThe oldest of them:")
    print_letters(console, letters[:SAMPLE], now)


def _nothing_decided(options: DecisionOptions, choice: Choice, letters: Sequence[Dead]) -> int:
    """Print the letters that would be decided, or why there are none; return the exit code."""
    say_left_out(choice)
    if options.as_json:
        print_json_lines(_result(letter, f"would be {options.past}", None) for letter in letters)
    elif letters:
        _show_selected(letters, sys.stdout)
        of_all = f", the oldest of {len(choice.letters):,}" if len(choice.letters) > len(letters) else ""
        click.echo(f"\nWould {options.verb} {letters_of(len(letters))}{of_all}. Dry run: nothing was changed.")
    elif not choice.decided:
        click.echo(f"No open dead letter is selected: nothing to {options.verb}.")
    return ExitCode.INCOMPLETE if choice.decided else ExitCode.DONE


def say_left_out(choice: Choice) -> None:
    """Print the letters that were named but are decided, and the records of the ledger that do not count."""
    now = datetime.now(UTC)
    for line in skipped_lines(choice.skipped):
        click.echo(line, err=True)
    for history in choice.decided:
        click.echo(f"{history.letter.number} was {decision_text(history.decisions[-1], now)}", err=True)


def _say_stopping() -> None:
    click.echo("\nStopping after the letters in hand. A second Ctrl-C stops at once.", err=True)


@contextmanager
def _progress(options: DecisionOptions, total: int) -> Iterator[Callable[[Dead, str | None], None]]:
    """Show a progress bar on a terminal. Yield the function that advances it and prints a letter's result as JSON."""
    with progress_bar(options.verb.capitalize(), total) as advance:

        def tell(letter: Dead, why: str | None) -> None:
            advance()
            if options.as_json:
                print_json_lines([_result(letter, options.past if why is None else "skipped", why)])
                sys.stdout.flush()

        yield tell


def _result(letter: Dead, result: str, why: str | None) -> dict[str, Any]:
    return {**letter_to_json(letter), "result": result, **({} if why is None else {"why": why})}


def _report(options: DecisionOptions, tally: Tally, left: int, seconds: float) -> None:
    """Print the result; with --json, to standard error."""
    lines = [f"{options.past.capitalize()}: {letters_of(tally.done)}, in {seconds:.1f} s."]
    if tally.skipped:
        lines.append(f"Skipped and still open: {letters_of(len(tally.skipped))}.")
        lines += by_reason((letter.number, why) for letter, why in tally.skipped)
    if tally.current:
        interrupted = ((letter.number, "interrupted") for letter in tally.current)
        lines += [f"These may be {options.past}, but count as open:", *by_reason(interrupted)]
    if left:
        lines.append(f"Still to {options.verb}: {left:,}. The same command continues with them.")
    for line in lines:
        click.echo(line, err=options.as_json)
