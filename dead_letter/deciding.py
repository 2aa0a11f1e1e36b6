"""A redrive or a discard as people see it: what is meant, the question, the progress, what became of it.

The deciding itself is in `redrive.py`.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bridge.ledger import Dead, Filter, grouped
from dead_letter.choosing import Choice, choose
from dead_letter.redrive import Tally, decide, discarding, redriving, stop_on_signals
from dead_letter.rendering import (
    decided,
    letter_to_json,
    letters_of,
    print_groups,
    print_json,
    print_letters,
    terminal,
    visible,
)
from dead_letter.site import INCOMPLETE, Misused, Site, actor

SAMPLE = 5
GROUPS_SHOWN = 8
NUMBERS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for. `interval` is in seconds; `limit` takes the oldest."""

    verb: Literal["redrive", "discard"]
    wanted: Filter | tuple[str, ...]
    limit: int | None
    interval: float
    dry_run: bool
    yes: bool
    note: str
    as_json: bool

    @property
    def past(self) -> str:
        """What a letter is when it is done."""
        return "redriven" if self.verb == "redrive" else "discarded"


def carry_out(site: Site, order: Order) -> int:
    """Ask, decide and report; return the exit code. Decides about no letter that the question did not count."""
    meant = None
    if order.dry_run or not order.yes:
        if not order.dry_run and not sys.stdin.isatty():
            raise Misused(f"there is no terminal to ask on: give {order.verb} --yes, or --dry-run to look first")
        choice = asyncio.run(_chosen(site, order))
        letters = choice.letters[: order.limit]
        if order.dry_run or not letters:
            return _undone(order, choice, letters)
        if not _confirmed(order, letters, len(choice.letters)):
            click.echo("Nothing was changed.", err=True)
            return INCOMPLETE
        meant = {letter.number for letter in letters}
    return asyncio.run(_decide(site, order, meant))


async def _chosen(site: Site, order: Order) -> Choice:
    async with site.ledger() as (ledger, _):
        return await choose(ledger, order.wanted, datetime.now(UTC))


async def _decide(site: Site, order: Order, meant: set[int] | None) -> int:
    """Decide about what is still open of it: while the question stood, another may have decided."""
    async with site.ledger() as (ledger, _), ledger.deciding() as decisions:
        choice = await choose(ledger, order.wanted, datetime.now(UTC))
        letters = [letter for letter in choice.letters if meant is None or letter.number in meant][: order.limit]
        if not letters:
            return _undone(order, choice, letters)
        _say_decided(choice)
        verb = (
            redriving(ledger, decisions, actor(), order.note)
            if order.verb == "redrive"
            else discarding(decisions, actor(), order.note)
        )
        tally, began = Tally(), time.monotonic()
        try:
            with _progress(order, len(letters)) as tell, stop_on_signals(_say_stopping) as stop:
                await decide(letters, verb, tally, interval=order.interval, stop=stop.wished, tell=tell)
        finally:
            left = len(choice.letters) - tally.done - len(tally.skipped)
            _report(order, tally, left, time.monotonic() - began)
    if stop.by is not None:
        return 128 + stop.by
    return INCOMPLETE if tally.skipped or choice.decided else 0


def _confirmed(order: Order, letters: Sequence[Dead], of: int) -> bool:
    """Show what is meant, by count and sample, and ask."""
    _show_meant(letters, sys.stderr)
    rest = f", the oldest of {of:,}" if of > len(letters) else ""
    question = f"\n{order.verb.capitalize()} {letters_of(len(letters))}{rest}?"
    try:
        return click.confirm(question, err=True)
    except click.Abort:  # Ctrl-C or the end of input, in place of an answer
        click.echo(err=True)
        return False


def _show_meant(letters: Sequence[Dead], stream: TextIO) -> None:
    """Show what many letters come to, and the oldest of them."""
    console, now = terminal(stream), datetime.now(UTC)
    if len(letters) > SAMPLE:
        groups = grouped(letters)
        print_groups(console, groups[:GROUPS_SHOWN], now)
        if len(groups) > GROUPS_SHOWN:
            console.print(f"… and {len(groups) - GROUPS_SHOWN:,} more groups")
        console.print("\nThe oldest of them:")
    print_letters(console, letters[:SAMPLE], now)


def _undone(order: Order, choice: Choice, letters: Sequence[Dead]) -> int:
    """Tell what would be done, or where that is nothing, why; return the exit code."""
    _say_decided(choice)
    if order.as_json:
        print_json(_result(letter, f"would be {order.past}", None) for letter in letters)
    elif letters:
        _show_meant(letters, sys.stdout)
        rest = f", the oldest of {len(choice.letters):,}" if len(choice.letters) > len(letters) else ""
        click.echo(f"\nWould {order.verb} {letters_of(len(letters))}{rest}. Dry run: nothing was changed.")
    elif not choice.decided:
        click.echo(f"No open dead letter is meant: nothing to {order.verb}.")
    return INCOMPLETE if choice.decided else 0


def _say_decided(choice: Choice) -> None:
    now = datetime.now(UTC)
    for history in choice.decided:
        click.echo(f"{history.letter.number} was {decided(history.decisions[-1], now)}", err=True)


def _say_stopping() -> None:
    click.echo("\nStopping: the letter in hand is finished first. Once more, and it is not.", err=True)


@contextmanager
def _progress(order: Order, total: int) -> Iterator[Callable[[Dead, str | None], None]]:
    """Show a bar on a terminal; yield what is called for each letter, which writes its line of JSON."""
    console = terminal(sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(order.verb.capitalize(), total=total)

        def tell(letter: Dead, why: str | None) -> None:
            progress.advance(task)
            if order.as_json:
                print_json([_result(letter, order.past if why is None else "skipped", why)])
                sys.stdout.flush()

        yield tell


def _result(letter: Dead, result: str, why: str | None) -> dict[str, Any]:
    return {**letter_to_json(letter), "result": result, **({} if why is None else {"why": why})}


def _report(order: Order, tally: Tally, left: int, seconds: float) -> None:
    """Say what became of it; beside JSON, on standard error."""
    lines = [f"{order.past.capitalize()}: {letters_of(tally.done)}, in {seconds:.1f} s."]
    if tally.skipped:
        lines.append(f"Skipped, and still open: {letters_of(len(tally.skipped))}.")
        reasons: dict[str, list[int]] = {}
        for letter, why in tally.skipped:
            reasons.setdefault(why, []).append(letter.number)
        for why, numbers in reasons.items():
            more = f" and {len(numbers) - NUMBERS_SHOWN:,} more" if len(numbers) > NUMBERS_SHOWN else ""
            lines.append(f"  {', '.join(map(str, numbers[:NUMBERS_SHOWN]))}{more}: {visible(why)}")
    if tally.in_hand is not None:
        lines.append(f"{tally.in_hand.number} was in hand: it may be {order.past} and counts as open.")
    if left:
        lines.append(f"Still to {order.verb}: {left:,}. The same command goes on with them.")
    for line in lines:
        click.echo(line, err=order.as_json)
