"""The commands that carry out a plan of redrives: `bridge-dlq redrive --plan` and `bridge-dlq plans resume`."""

import asyncio
import os
import secrets
import socket
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from bridge.brokers.any_broker.plan_log import PlanLog
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.claims import ClaimTaken
from bridge.config.settings import Settings
from bridge.console.actor import actor
from bridge.console.exit_codes import BY_SIGNAL, ExitCode
from bridge.console.printable import printable
from bridge.console.program import Failure
from bridge.console.signals import stop_on_signals
from bridge.console.site_options import Site, existing_broker
from bridge.console.terminal import progress_bar
from bridge.ledger import Dead
from bridge.plans import Plan, Plans, PlanStory
from dead_letter.choosing import LetterReader
from dead_letter.decision_command import DecisionOptions, say_left_out, selected_letters
from dead_letter.ledger_access import PROGRAM
from dead_letter.plan_runner import PlanRun, carry_out_plan
from dead_letter.rendering import by_reason, letters_of, next_commands

SHORTEST = 4
"""The fewest digits of an id that name a plan, so that an empty word of a script names none."""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """The options of a plan: the size of the first step, the part of a step that may fail, and the seconds to wait."""

    canary: int
    abort_over: float | None
    wait: float


def plan_redrive(site: Site, options: DecisionOptions, planned: PlanOptions) -> int:
    """Ask, record the plan, carry it out, and return the exit code."""
    reader = LetterReader(options.wanted, datetime.now(UTC), for_redrive=True)
    selected = selected_letters(site, options, reader)
    return selected if isinstance(selected, int) else asyncio.run(_begin(site, options, planned, reader, selected))


def resume_plan(site: Site, beginning: str) -> int:
    """Carry out the rest of a plan that has not ended, or that was stopped or aborted; return the exit code."""
    return asyncio.run(_resume(site, beginning))


async def _begin(
    site: Site, options: DecisionOptions, planned: PlanOptions, reader: LetterReader, selected: set[int] | None
) -> int:
    settings = site.settings()
    async with existing_broker(settings) as broker:
        ledger = broker.ledger()
        choice = await reader.read_new(ledger)
        await ledger.close()
        letters = [each.number for each in choice.letters if selected is None or each.number in selected]
        letters = letters[: options.limit]
        say_left_out(choice)
        if not letters:
            click.echo("No open dead letter is selected: nothing to redrive.")
            return ExitCode.INCOMPLETE if choice.decided else ExitCode.DONE
        plan = Plan(
            id=secrets.token_hex(4),
            letters=tuple(letters),
            canary=planned.canary,
            interval=options.interval,
            wait=planned.wait,
            abort_over=planned.abort_over,
            who=actor(),
            why=options.note,
            time=datetime.now(UTC),
        )
        log = PlanLog(broker, settings.values.namespace, settings.ledger_keys())
        await log.append(*log.records.of_plan(plan))
        stop = site.command(PROGRAM, "plans", "stop", plan.id)
        click.echo(f"Plan {plan.id}: {letters_of(len(letters))}, first {planned.canary:,}. From anywhere:", err=True)
        click.echo(next_commands(stop), err=True)
        return await _carry_out(site, broker, settings, plan)


async def _resume(site: Site, beginning: str) -> int:
    settings = site.settings()
    async with existing_broker(settings) as broker:
        log = PlanLog(broker, settings.values.namespace, settings.ledger_keys())
        plan = named(await log.read(), beginning).plan
        return await _carry_out(site, broker, settings, plan)


async def _carry_out(site: Site, broker: Broker, settings: Settings, plan: Plan) -> int:
    run = PlanRun(plan, actor())
    where = f"{socket.gethostname()}, pid {os.getpid()}"
    with progress_bar(f"Plan {plan.id}", len(plan.letters)) as advance, stop_on_signals(_say_stopping) as stop:

        def tell(letter: Dead, why: str | None) -> None:
            advance()

        asked = asyncio.create_task(_halted(stop.wished, run.halt))
        try:
            await carry_out_plan(broker, settings, run, where, tell)
        except ClaimTaken as error:
            raise Failure(
                f"plan {plan.id} is carried out by another process, {error.holder}", ExitCode.INCOMPLETE
            ) from error
        finally:
            asked.cancel()
    _report(site, run)
    if run.end is None and stop.by is not None:
        return BY_SIGNAL + stop.by
    return ExitCode.DONE if run.end == "done" and not run.tally.skipped else ExitCode.INCOMPLETE


async def _halted(wished: asyncio.Event, halt: asyncio.Event) -> None:
    await wished.wait()
    halt.set()


def named(plans: Plans, beginning: str) -> PlanStory:
    """Return the plan whose id begins so. Raise `Failure` for none, and for several."""
    bare = beginning.strip().casefold()
    if len(bare) < SHORTEST:
        expected = f"expected the id of a plan, or its first {SHORTEST} digits at least: see {PROGRAM} plans"
        raise Failure(f"{beginning!r:.40}: {expected}", ExitCode.USAGE)
    found = [story for id, story in plans.stories.items() if id.startswith(bare)]
    if len(found) != 1:
        count = f"{len(found)} plans have" if found else "no plan has"
        raise Failure(f"{count} an id that begins with {beginning!r:.40}: see {PROGRAM} plans", ExitCode.USAGE)
    return found[0]


def _say_stopping() -> None:
    click.echo("\nStopping after the letters in hand. A second Ctrl-C stops at once.", err=True)


def _report(site: Site, run: PlanRun) -> None:
    progress, plan = run.progress, run.plan
    known = progress.delivered + progress.failed
    ended = {"done": "is done", "aborted": "is aborted", "stopped": "is stopped"}.get(run.end or "", "is interrupted")
    why = f": {run.why}" if run.why else ""
    click.echo(printable(f"Plan {plan.id} {ended}{why}"))
    click.echo(
        f"Redriven: {letters_of(progress.redriven)} of {len(plan.letters):,}. Delivered: {progress.delivered:,},"
        f" failed again: {progress.failed:,}, not known: {max(progress.redriven - known, 0):,}."
    )
    if run.tally.skipped:
        click.echo(f"Skipped and still open: {letters_of(len(run.tally.skipped))}.")
        for line in by_reason((letter.number, why) for letter, why in run.tally.skipped):
            click.echo(line)
    if run.end != "done":
        click.echo(next_commands(site.command(PROGRAM, "plans", "resume", plan.id)))
