"""Moves the events: a batch is held in the old file, published to the new broker, and what the new broker has confirmed
is deleted from the file. So a move that is killed has at most one batch in both brokers, with the same ids.
"""

import asyncio
import time
from collections.abc import Collection, Iterable, Iterator, Sequence

from bridge.brokers.contract.emptying import Catch, Emptying, HeldEvent
from bridge.brokers.contract.publishing import Publisher
from bridge.deadline import Deadline
from bridge.errors import (
    BridgeError,
    BrokerRefused,
    DeferForbidden,
    DeferRejected,
    DeferUnconfirmed,
    TooLarge,
    Unroutable,
)
from bridge.logger import log
from worker.moving.tally import Kind, Tally

BATCH = 256
"""The most events that are in flight, and that may run twice after a kill."""

ANSWER_SECONDS = 60.0
"""Seconds that the new broker has to confirm an event. An event that was written and is not confirmed by then has to be
published again, so this is long: it outlasts a restart of the broker. A full queue rejects events for as long."""

REMIND_SECONDS = 10.0
"""Seconds without an answer after which the log says so."""

REFUSALS = (TooLarge, DeferForbidden, Unroutable)
"""Answers that do not change by themselves: the event stays in the old file."""

_Answers = dict[int, BaseException | None]


class EventsMove:
    """Moves events to the queues of a publisher. `ordered` are the new site's ordered queues."""

    def __init__(self, publisher: Publisher, ordered: Collection[str], tally: Tally) -> None:
        self._publisher = publisher
        self._ordered = ordered
        self._tally = tally
        self._aside: dict[int, HeldEvent] = {}
        self._full: set[str] = set()
        self._batch = 1  # the first event alone: if the new broker does not confirm, only this one may run twice

    @property
    def full(self) -> Collection[str]:
        """The queues of the new broker that have rejected an event since `begin`. The rest of them is not tried."""
        return self._full

    async def begin(self, old: Emptying) -> None:
        """Try the events again that the new broker has refused."""
        self._full.clear()
        if self._aside:
            await old.release(self._aside.values())
            self._aside.clear()

    async def batch(self, old: Emptying) -> tuple[Catch, bool]:
        """Move the next batch. Return what was taken, and whether the new broker takes events: if not, the batch is in
        the old file, and can be tried again later. Raise `BrokerRefused`, and what `Emptying` raises."""
        catch = await old.hold(self._batch, self._ordered, self._full)
        if not catch.events:
            return catch, True
        answers = await self._published(catch.events)
        confirmed = [event for event in catch.events if answers.get(event.number, event) is None]
        if confirmed:
            await old.remove(confirmed)
            self._batch = BATCH
            for event in confirmed:
                self._tally.moved[kind_of(event)] += 1
        return catch, await self._settle_others(old, catch.events, answers)

    async def _settle_others(self, old: Emptying, events: Sequence[HeldEvent], answers: _Answers) -> bool:
        """Do what follows for the events that are not confirmed. Return whether the new broker takes events."""
        again: list[HeldEvent] = []
        silence: BridgeError | None = None
        for event in events:
            match answers.get(event.number, _NOT_TRIED):
                case None:
                    pass
                case TooLarge() | DeferForbidden() | Unroutable() as refusal:
                    self._aside[event.number] = event  # held, so that the next batch has others
                    self._tally.keep(_named(event), refusal)
                case BrokerRefused() as refusal:
                    raise refusal
                case _NotTried():
                    again.append(event)
                case DeferRejected() as rejection:
                    again.append(event)
                    if event.queue not in self._full:
                        log.warning("the events of queue %s are tried again later: %s", event.queue, rejection)
                    self._full.add(event.queue)
                case BridgeError() as silence:
                    again.append(event)
                    self._tally.unanswered += isinstance(silence, DeferUnconfirmed)
                case defect:
                    raise defect
        if again:
            await old.release(again)
        if silence is not None:
            log.warning("the new broker did not confirm events, which are tried again: %s", silence)
        return silence is None

    async def _published(self, events: Sequence[HeldEvent]) -> _Answers:
        """Publish the events; return the answer to each that was tried: None if it is confirmed."""
        answers: _Answers = {}
        chains = [asyncio.ensure_future(self._publish_chain(chain, answers)) for chain in _chains(events)]
        waiting: set[asyncio.Future[None]] = set(chains)
        try:
            while waiting:
                _, waiting = await asyncio.wait(waiting, timeout=REMIND_SECONDS)
                if waiting:
                    log.warning("%d events wait for the new broker's confirmation", len(events) - len(answers))
        finally:
            for chain in waiting:
                chain.cancel()
        return answers

    async def _publish_chain(self, chain: Iterable[HeldEvent], answers: _Answers) -> None:
        """Publish events one after the other, up to the first that has to be tried again."""
        for event in chain:
            try:
                await self._publish(event)
            except REFUSALS as refusal:
                answers[event.number] = refusal
            except Exception as error:  # of one event: those that are confirmed must be deleted first
                answers[event.number] = error
                return
            else:
                answers[event.number] = None

    async def _publish(self, event: HeldEvent) -> None:
        deadline = Deadline.after(ANSWER_SECONDS, time.monotonic())
        if event.queue:
            await self._publisher.put(event.envelope, event.queue, event.due, deadline=deadline)
        else:
            await self._publisher.publish(event.envelope.event, event.due, deadline=deadline)


class _NotTried(Exception):
    """The event came after another one of its ordered queue that has to be tried again."""


_NOT_TRIED = _NotTried()


def kind_of(event: HeldEvent) -> Kind:
    """Return what an event counts as."""
    if event.due is None:
        return Kind.DUE
    return Kind.RETRYING if event.queue else Kind.DELAYED


def _chains(events: Sequence[HeldEvent]) -> Iterator[Sequence[HeldEvent]]:
    """Yield the events in groups that keep their order: all of an ordered queue, and each other event alone."""
    ordered: dict[str, list[HeldEvent]] = {}
    for event in events:
        if event.ordered:
            ordered.setdefault(event.queue, []).append(event)
        else:
            yield (event,)
    yield from ordered.values()


def _named(event: HeldEvent) -> str:
    found = event.envelope.event
    return f"event {found.id} ({found.name}{f' in queue {event.queue}' if event.queue else ''})"
