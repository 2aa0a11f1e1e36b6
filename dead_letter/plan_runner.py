"""Carries out a plan of redrives: puts letters back in growing steps, and watches what becomes of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import islice

from bridge.brokers.any_broker.history_reading import history_of
from bridge.brokers.any_broker.plan_log import PlanLog
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.claims import ClaimTaken
from bridge.brokers.contract.ledger import BEFORE_ALL, Decisions, Ledger
from bridge.brokers.contract.logs import Records
from bridge.config.settings import Settings
from bridge.history import entries_of
from bridge.ledger import Dead, Discarded, Redriven
from bridge.plans import End, Plan, Progress, step_sizes, why_abort
from dead_letter.deciding import Tally, decide, redriving
from dead_letter.step_outcomes import StepOutcomes

HELD_LETTERS = 2_000
HELD_SECONDS = 5.0
"""The most letters, or the time, for which the right to decide is held; others may decide between."""

AGAIN_SECONDS = 0.5

RECORD_EVERY = 3.0
"""Seconds between two records of the progress, a part of `SILENT_AFTER`."""


@dataclass(slots=True)
class PlanRun:
    """One run of a plan, in this process. `halt` ends it after the letters in hand; `end` and `why` then say how, and
    `end` is None if the plan shall be resumed. `before` is the number of letters that earlier runs have put back,
    `earlier` has the counts that they recorded, and `tried` has the letters of this run's steps."""

    plan: Plan
    actor: str
    halt: asyncio.Event = field(default_factory=asyncio.Event)
    end: End | None = None
    why: str = ""
    tally: Tally = field(default_factory=Tally)
    before: int = 0
    earlier: Progress = field(default_factory=Progress)
    tried: set[int] = field(default_factory=set)
    outcomes: StepOutcomes = field(default_factory=lambda: StepOutcomes(()))

    def finish(self, end: End, why: str) -> None:
        """Let the run end. The first reason counts."""
        if self.end is None:
            self.end, self.why = end, why
        self.halt.set()

    @property
    def progress(self) -> Progress:
        """The counts of all runs so far; of the skipped letters, those of this run."""
        return Progress(
            redriven=self.before + self.tally.done,
            skipped=len(self.tally.skipped),
            delivered=self.earlier.delivered + self.outcomes.delivered,
            failed=self.earlier.failed + self.outcomes.failed,
        )


async def carry_out_plan(
    broker: Broker, settings: Settings, run: PlanRun, where: str, tell: Callable[[Dead, str | None], None]
) -> None:
    """Carry out a plan whose records are in the log, from its canary on, with the letters that are still open.

    `where` names this process for people. `tell` is called for each letter as `decide` calls it. Raise `ClaimTaken` if
    another process carries the plan out.
    """
    log = PlanLog(broker, settings.values.namespace, settings.ledger_keys())
    async with broker.claim(f"plan-{run.plan.id}"):
        await log.append(log.records.begin(run.plan.id, where, datetime.now(UTC)))
        story = (await log.read()).stories.get(run.plan.id)
        if story is not None:
            run.earlier = story.progress
        ledger = broker.ledger()
        letters = _PlanLetters(ledger, run)
        try:
            await letters.read_new()
            run.outcomes = StepOutcomes({letter.fingerprint.id for letter in letters.open.values()})
            async with _followed(broker, settings, log, run):
                await _all_steps(run, letters, tell)
        finally:
            await ledger.close()
        await log.append(log.records.progress(run.plan.id, run.progress, datetime.now(UTC)))
        if run.end is not None:
            await log.append(log.records.end(run.plan.id, run.end, run.why, datetime.now(UTC)))


class _PlanLetters:
    """The letters of a plan that are open, oldest first, as far as the ledger was read."""

    def __init__(self, ledger: Ledger, run: PlanRun) -> None:
        self.ledger = ledger
        self.open: dict[int, Dead] = {}
        self._run = run
        self._wanted = frozenset(run.plan.letters)
        self._last = BEFORE_ALL

    async def read_new(self) -> None:
        """Read the entries that are new since the last call. New letters are outcomes of events that were put back."""
        async for entry in self.ledger.entries(self._last):
            self._last = entry.number
            match entry:
                case Dead() if entry.number in self._wanted:
                    self.open[entry.number] = entry
                case Dead():
                    self._run.outcomes.add_letter(entry)
                case Redriven() | Discarded() if self.open.pop(entry.letter, None) is not None:
                    by_plan = isinstance(entry, Redriven) and entry.note.startswith(_note(self._run.plan))
                    self._run.before += by_plan and entry.letter not in self._run.tried


def _note(plan: Plan) -> str:
    return f"plan {plan.id}"


async def _all_steps(run: PlanRun, letters: _PlanLetters, tell: Callable[[Dead, str | None], None]) -> None:
    for size in step_sizes(run.plan.canary):
        left = (letter for number, letter in letters.open.items() if number not in run.tried)
        step = list(islice(left, min(size, len(letters.open))))
        if run.halt.is_set():
            return
        if not step:
            run.finish("done", "")
            return
        run.tried.update(letter.number for letter in step)
        run.outcomes.begin(step)
        await _put_back(run, letters, step, tell)
        await _until_known(run, letters)
        _judge(run)


async def _put_back(
    run: PlanRun, letters: _PlanLetters, step: Sequence[Dead], tell: Callable[[Dead, str | None], None]
) -> None:
    """Put back the letters of a step that are still open, and hold the right to decide for some seconds at a time."""
    interval = run.plan.interval
    size = max(1, min(HELD_LETTERS, int(HELD_SECONDS / interval))) if interval else HELD_LETTERS
    note = f"{_note(run.plan)}: {run.plan.why}" if run.plan.why else _note(run.plan)

    def told(letter: Dead, why: str | None) -> None:
        if why is not None:
            run.outcomes.leave_out(letter)
        tell(letter, why)

    for start in range(0, len(step), size):
        async with _deciding(letters.ledger, run.halt) as decisions:
            if decisions is None:
                return
            await letters.read_new()
            part = [letter for letter in step[start : start + size] if letter.number in letters.open]
            for letter in step[start : start + size]:
                if letter.number not in letters.open:
                    run.outcomes.leave_out(letter)
            async with aclosing(letters.ledger.letters(letter.number for letter in part)) as contents:
                verb = redriving(contents, decisions, run.actor, note)
                await decide(part, verb, run.tally, interval=interval, stop=run.halt, tell=told)
        if interval and start + size < len(step):
            await _pause(run.halt, interval)


@asynccontextmanager
async def _deciding(ledger: Ledger, halt: asyncio.Event) -> AsyncIterator[Decisions | None]:
    """Hold the right to decide; wait while another process has it. Yield None if the run is to end."""
    while not halt.is_set():
        try:
            async with ledger.deciding() as decisions:
                yield decisions
                return
        except ClaimTaken:
            await _pause(halt, AGAIN_SECONDS)
    yield None


async def _until_known(run: PlanRun, letters: _PlanLetters) -> None:
    """Wait until something is known of all events of the step, for the plan's `wait` at most."""
    clock = asyncio.get_running_loop().time
    until = clock() + run.plan.wait
    while True:
        await letters.read_new()
        if not run.outcomes.left or run.halt.is_set() or clock() >= until:
            return
        await _pause(run.halt, min(AGAIN_SECONDS, max(until - clock(), 0)))


def _judge(run: PlanRun) -> None:
    outcomes = run.outcomes
    why = why_abort(run.plan, outcomes.size, outcomes.failed_in_step, outcomes.reappeared_in_step)
    if why:
        run.finish("aborted", why)


@asynccontextmanager
async def _followed(broker: Broker, settings: Settings, log: PlanLog, run: PlanRun) -> AsyncIterator[None]:
    """Follow the history and the log of plans, and record the progress, while the block runs. An error of one of them
    halts the run, and is raised after the block."""
    async with AsyncExitStack() as stack:
        work = [_obey(log, run), _record(log, run)]
        if settings.values.history.keep:
            history = await stack.enter_async_context(history_of(broker, settings).follow())
            work.append(_watch(history, run))
        tasks = [asyncio.create_task(each) for each in work]
        for task in tasks:
            task.add_done_callback(partial(_halt_on_error, run.halt))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()


def _halt_on_error(halt: asyncio.Event, task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        halt.set()


async def _watch(history: Records, run: PlanRun) -> None:
    """Count what the history tells, and end the run as soon as it has failed."""
    async for record in history:
        for entry in entries_of(record.content):
            run.outcomes.add_attempt(entry)
        _judge(run)


async def _obey(log: PlanLog, run: PlanRun) -> None:
    """End the run when somebody stops the plan."""
    while True:
        story = (await log.read()).stories.get(run.plan.id)
        if story is not None and story.stop_wished:
            run.finish("stopped", story.why)
            return
        await asyncio.sleep(AGAIN_SECONDS)


async def _record(log: PlanLog, run: PlanRun) -> None:
    """Record the progress, also without any, as a sign of life."""
    while True:
        await asyncio.sleep(RECORD_EVERY)
        await log.append(log.records.progress(run.plan.id, run.progress, datetime.now(UTC)))


async def _pause(halt: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(halt.wait(), seconds)
    except TimeoutError:
        return
