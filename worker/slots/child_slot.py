"""A slot that is a child of the worker's own pool. A fault on its connection ends that child only.

The first request in flight runs in the child; those behind it wait for their turn, and can be recalled. Lines that the
child prints while an event runs in it belong to that event: they are logged with the event, and are in its transcript.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Protocol

from bridge.child_protocol import Extend, Extended, Progress
from bridge.console.app_output import level_of
from bridge.console.printable import printable
from bridge.fastcgi import ReplyEvent
from bridge.logger import log
from bridge.moments import Progressed, Tell, tell_nobody
from bridge.outcome import BrokenOff, Exchange, OutOfTime, Reply
from worker.pool.child import Child
from worker.pool.supervisor import CLEAN_UP_WITHIN, EXIT_SEEN_WITHIN
from worker.slots.arriving_reply import LastReply
from worker.slots.child_connection import ChildConnection
from worker.slots.depth import Depth
from worker.slots.in_child import InChild, joined
from worker.slots.slot import NotTaken, Request, Run
from worker.slots.ticks import Ticks
from worker.slots.transcript import log_error_output
from worker.slots.watch import Watch

RECALLED_AFTER = 0.005
"""Seconds that an event may run before those behind it are recalled."""


class Keeper(Protocol):
    """Keeps the seat of the child filled: the supervisor of the pool."""

    def served(self, child: Child, requests: int = 1) -> None:
        """Count further requests that the child has served."""

    def condemn(self, child: Child, why: str) -> None:
        """Fill the child's seat at once, because the child is about to be ended."""

    def cut_off(self, child: Child) -> None:
        """Replace the child, because its connection has ended."""


_End = tuple[InChild, Exchange | NotTaken]


class ChildSlot:
    """Room for requests in a child of the worker's own pool: one runs, and as many as `depth` says are in flight."""

    def __init__(self, child: Child, keeper: Keeper, depth: Depth, tell: Tell = tell_nobody) -> None:
        self.child = child
        self.pid = child.pid
        """The process id of the child."""
        self.broken_by: Request | None = None
        """The request in which the connection broke or the time ran out; None while the child is sound."""
        self._keeper = keeper
        self._depth = depth
        self._tell = tell
        self._clock = asyncio.get_running_loop().time
        self._sent: deque[InChild] = deque()
        self._last_reply = LastReply()
        self._printing: InChild | None = None
        self._known: dict[int, InChild] = {}
        self._cpu = child.cpu_seconds()
        self._long: InChild | None = None
        self._closed_to_more = False
        self._gathering = False
        self._ends: set[asyncio.Task[None]] = set()
        self._deadline = Watch(self._check_deadline)
        self._patience = Watch(self._check_patience)
        self._connection = ChildConnection(
            child.socket, child.tokens, self._take_replies, self._refused, self._connection_ended
        )
        self._ticks = Ticks(self._work, self._read, self._connection, child.output)
        child.output.on_printed = self._log_printed
        child.output.on_mark = self._take_mark
        child.news.on_news = self._take_news
        child.on_end = self._child_ended

    def __repr__(self) -> str:
        return f"<ChildSlot {self.pid}>"

    @property
    def first(self) -> InChild | None:
        """The request that runs in the child, as far as its replies have arrived; None while the child is idle."""
        return self._sent[0] if self._sent else None

    @property
    def usable(self) -> bool:
        """True if the child can run a further request."""
        return self._connection.takes_more

    @property
    def room(self) -> int:
        """How many further requests the child takes now."""
        connection = self._connection
        if not connection.takes_more or self._closed_to_more:
            return 0
        if not self._sent:
            return 1
        if connection.stalled or self._sent[0] is self._long:
            return 0
        return max(self._depth.requests - len(self._sent), 0)

    @property
    def at_a_time(self) -> int:
        """How many requests may end in one tick: all that are in flight, if the child is faster than expected."""
        return self._depth.requests

    def begin(self, run: Run) -> None:
        """Send the request of a run: at once if the child is idle, else together with others in the next turn of the
        loop."""
        idle = not self._sent
        number = self._connection.give(run.request.encoded, marked=not idle)
        sent = self._known[number] = InChild(run, number, self._clock())
        self._sent.append(sent)
        self.child.used = True
        if len(self._sent) <= 2:
            self._watch()
        if not idle:
            self._ticks.look()
            return
        self._printing = sent
        if not self._gathering:
            self._connection.flush()

    def recall(self) -> Sequence[Run]:
        """Return the runs behind the first one that have not begun."""
        return self._recall(first=False)

    def abandon(self, run: Run) -> None:
        """Drop a run. If it has begun, kill the child."""
        left = self._leave_what_runs(first=True)
        if any(sent.run is run and not sent.ending for sent in self._sent):
            self.child.kill()
            self._connection.end("its event was given up")
        run.line.recalled([each for each in left if each is not run])

    def interrupt(self, run: Run) -> None:
        """End a run, and its child, as at its deadline."""
        left = self._leave_what_runs(first=False)
        if (first := self.first) is not None and first.run is run and not first.ending:
            self._run_out(first, "ends with its cancelled event")
        run.line.recalled(left)

    def _recall(self, *, first: bool) -> list[Run]:
        recalled = self._connection.recall(first=first)
        # A child may have answered without its token, since an app can write to its descriptors.
        sent = [self._known.pop(number) for number in recalled if number in self._known]
        for each in sent:
            self._sent.remove(each)
        return [each.run for each in sent]

    def _leave_what_runs(self, *, first: bool) -> list[Run]:
        """Leave the child at most the run that has begun and not ended, and return those that have not begun. Unless
        `first`, the first one stays in any case."""
        self._closed_to_more = True
        try:
            runs = self._recall(first=first)
            self._connection.read()
        finally:
            self._closed_to_more = False
        return runs

    def _watch(self) -> None:
        """Watch the time of the first run, and of those behind it."""
        first = self._sent[0]
        self._deadline.by(first.due)
        if len(self._sent) > 1:
            self._patience.by(first.since + RECALLED_AFTER)

    def _check_patience(self) -> None:
        """Recall what waits behind a run that takes long, and let nothing more wait there until its end."""
        self._connection.read()  # this worker may be late itself
        if len(self._sent) < 2:
            return
        first = self._sent[0]
        if self._clock() < first.since + RECALLED_AFTER:
            self._watch()
            return
        self._long = first
        if not self._lacks_cpu():
            self._depth.note_slow()
        first.run.line.recalled(self.recall())

    def _lacks_cpu(self) -> bool:
        """Return True if the first run takes long because the child has had little CPU, although it could use it."""
        return self.child.cpu_seconds() - self._cpu < RECALLED_AFTER / 2 and self.child.is_runnable()

    def _check_deadline(self) -> None:
        """End a run whose time is over. One that has not begun by then goes elsewhere, because the child hangs."""
        self._connection.read()  # this worker may be late itself
        first = self.first
        if first is None or first.ending:
            return
        if self._clock() < first.due:
            self._watch()
            return
        left = self._leave_what_runs(first=True)
        if self.first is first and not first.ending:
            self._run_out(first, f"timed out after {first.deadline:g} s")
        elif first.run in left:
            self._end_child(self._destroy(f"did not begin an event within {first.deadline:g} s"))
        first.run.line.recalled(left)

    def _take_replies(self, replies: list[tuple[ReplyEvent, ...]]) -> None:
        """Take the events of replies. Runs whose replies arrive together count as equally long."""
        ended: list[_End] = []
        for events in replies:
            exchange = self._sent[0].take(events, self._last_reply)
            if exchange is not None:
                ended.append((self._sent.popleft(), exchange))
        if not ended:
            return
        self._long = None  # the first one has ended
        now = self._clock()
        seconds = (now - ended[0][0].since) / len(ended)
        cpu = self.child.cpu_seconds()
        used, self._cpu = cpu - self._cpu, cpu
        self._depth.note(seconds, used / len(ended), len(ended))
        if self._sent:
            self._sent[0].since = now
            self._watch()
        self.child.output.drain()
        self._gathering = True
        try:
            if served := sum(isinstance(exchange, Reply) for _, exchange in ended):
                self._keeper.served(self.child, served)
            self._end(ended, seconds)
        finally:
            self._gathering = False
            self._connection.flush()

    def _end(self, ended: Sequence[_End], seconds: float) -> None:
        """Tell the end of runs. All that the child printed for them has been read."""
        for sent, exchange in ended:
            del self._known[sent.number]
            if self._printing is sent:
                self._printing = None
            log_error_output(sent.run.request, exchange)
        line = ended[0][0].run.line
        line.ended_together([(sent.run, sent.with_printed_lines(exchange)) for sent, exchange in ended], seconds)

    def _work(self) -> float:
        """Return the seconds of work that the child has; none if it has only one or two events."""
        in_flight = len(self._sent)
        return in_flight * self._depth.seconds if in_flight > 2 else 0.0

    def _read(self) -> None:
        """Read what the child has written. With the end of a run, what the child has printed is read already."""
        first = self.first
        self._connection.read()
        if self.first is first:
            self.child.output.read()

    def _refused(self) -> None:
        """Send what the child has not taken elsewhere: it ends after the run that has begun."""
        if self._sent:
            line = self._sent[0].run.line
            line.recalled(self._recall(first=True))

    def _child_ended(self) -> None:
        self._connection.read()
        self._connection.end("the process has ended")

    def _connection_ended(self, why: str) -> None:
        self._deadline.stop()
        self._patience.stop()
        self._ticks.end()
        line = self._sent[0].run.line if self._sent else None
        left = self._recall(first=True)
        for sent in self._sent:
            self.broken_by = self.broken_by or sent.run.request
            self._end_child(self._break_off(sent, why))
        self._keeper.cut_off(self.child)
        if line is not None:
            line.recalled(left)

    def _run_out(self, sent: InChild, why: str) -> None:
        sent.ending = True
        self.broken_by = sent.run.request
        self._end_child(self._end_out_of_time(sent, why))

    def _end_child(self, work: Coroutine[None, None, None]) -> None:
        self._ticks.end()
        self._connection.close()
        for sent in self._sent:
            sent.ending = True
        task = asyncio.create_task(work)
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)

    async def _end_out_of_time(self, sent: InChild, why: str) -> None:
        self._keeper.condemn(self.child, why)
        stacks = await self.child.stacks()
        await self.child.destroy(CLEAN_UP_WITHIN)
        out_of_time = sent.reply.out_of_time(sent.deadline)
        self._end_last(sent, replace(out_of_time, error_output=joined(out_of_time.error_output, stacks)))

    async def _break_off(self, sent: InChild, why: str) -> None:
        self._end_last(sent, sent.reply.broken_off(f"{await self._how_it_ended()}; {why}"))

    async def _destroy(self, why: str) -> None:
        self._keeper.condemn(self.child, why)
        await self.child.destroy(CLEAN_UP_WITHIN)

    def _end_last(self, sent: InChild, exchange: OutOfTime | BrokenOff) -> None:
        self.child.output.drain()
        self._sent.remove(sent)
        self._end([(sent, exchange)], self._clock() - sent.since)

    async def _how_it_ended(self) -> str:
        try:
            async with asyncio.timeout(EXIT_SEEN_WITHIN):
                return f"the process {await self.child.exited()}"
        except TimeoutError:
            self.child.kill()
            return "the process was killed"

    def _take_news(self, news: Progress | Extend) -> None:
        """Take the news of the event that runs. A thread that the app has left running may tell of an earlier one."""
        current = self._running(news.id)
        match news:
            case Extend():
                at_most = None if current is None else current.run.request.deadline_at_most
                granted = (
                    current is not None and at_most is not None and current.extend(news.seconds, at_most, self._clock())
                )
                self.child.news.answer(Extended(news.number, granted))
            case Progress() if current is not None:
                request, note = current.run.request, printable(news.note)
                current.progress = replace(news, note=note)
                self._tell(
                    Progressed(request.event, news.id, request.queue, request.attempt, news.done, news.total, note)
                )
            case Progress():
                pass

    def _running(self, event: str) -> InChild | None:
        """Return the run of this event, if it runs. News may be here before the replies to the requests before it."""
        first = self.first
        if first is not None and first.run.request.id != event:
            self._connection.read()
            first = self.first
        return first if first is not None and first.run.request.id == event else None

    def _take_mark(self, number: int) -> None:
        self._printing = self._known.get(number, self._printing)

    def _log_printed(self, pid: int, record: str) -> None:
        level = level_of(record, logging.INFO)
        printing = self._printing
        if printing is None:
            log.log(level, "%s", record, extra={"child": pid})
            return
        request = printing.run.request
        log.log(level, "%s", record, extra={"child": pid, "event": request.event, "id": request.id})
        printing.add_printed(record)
