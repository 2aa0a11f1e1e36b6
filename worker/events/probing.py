"""The word between the workers of a site about their breakers: a worker tells the others when one of its breakers opens
or closes, asks at its start which events they hold, and listens to those who ask for a probe.

All of it is best effort: without it, each worker counts failures for itself, and the next probe comes in its time.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import NoReturn

from bridge.attempt import Error
from bridge.brokers.contract.broker import Broker
from bridge.errors import BridgeError, BrokerUnavailable
from bridge.failures.fingerprint import template_of
from bridge.logger import log
from bridge.logs import Content
from bridge.probes import (
    SUBJECT,
    Held,
    ProbeAsked,
    answer_of,
    answer_of_held,
    held_in,
    probe_in,
    question_of,
    question_of_held,
    queues_answered,
    queues_asked,
    words_of,
)
from worker.events.breaker import Closed, Opened
from worker.events.breakers import Breakers
from worker.events.queue_breaker import Change

AGAIN_SECONDS = 60.0
"""Seconds until a worker whose listening was refused tries again."""

ANSWER_SECONDS = 0.5
"""The longest time in seconds that a worker waits at its start for the answers of others."""


class Probing:
    """Tells what the breakers of a worker do, and lets them do what other workers and people tell. `instance` is the
    worker's id, and `name` its `host:pid`, for people."""

    def __init__(self, broker: Broker, breakers: Breakers, instance: str, name: str) -> None:
        self._broker = broker
        self._broadcast = broker.broadcast(SUBJECT)
        self._breakers = breakers
        self._instance = instance
        self._name = name
        self._queues = frozenset(breakers.by_queue)
        self._closed: set[tuple[str, str | None]] | None = None
        """While this worker asks: the events that another one has said to hold no longer. An answer may be older."""
        self._news: asyncio.Queue[Content] | None = None
        """The messages that this worker has still to send. None while it does not listen: it then sends nothing."""
        breakers.on_news = self._note

    async def run(self) -> NoReturn:
        """Listen and tell without end."""
        while True:
            try:
                async with self._broadcast.listen(self._hear):
                    await self.ask()  # for what others have told before this worker listened
                    await self._tell_the_others()
            except BridgeError as error:
                log.warning(
                    "neither other workers nor bridge-queues probe reach the breakers of this worker: %s; trying again",
                    error,
                )
            self._news = None
            await asyncio.sleep(AGAIN_SECONDS)

    async def ask(self) -> None:
        """Hold what the other workers hold. One answer about each queue is enough, because those that serve it tell
        each other what they hold."""
        asking, question = self._broker.broadcast(SUBJECT), {**question_of_held(self._queues), "from": self._instance}
        closed = self._closed = set()
        with suppress(BridgeError):  # then this worker counts for itself
            for answer in await asking.ask_all(question, 0, self._are_enough, ANSWER_SECONDS):
                self._hold(answer, but=closed)
        self._closed = None
        await asking.close()

    def _are_enough(self, answers: Sequence[Content]) -> bool:
        return queues_answered(answers) >= self._queues

    def _note(self, queue: str, change: Change) -> None:
        if self._news is not None:
            self._news.put_nowait(self._words_of(queue, change))

    async def _tell_the_others(self) -> NoReturn:
        news = self._news = asyncio.Queue[Content]()
        if opened := [each for each in self._breakers.opened if each[2].worker is None]:
            news.put_nowait(words_of(self._held(*each) for each in opened))
        while True:
            words = await news.get()
            with suppress(BrokerUnavailable):  # then no event begins anywhere
                await self._broadcast.tell({**words, "from": self._instance})

    async def _hear(self, content: Content) -> Content | None:
        if content.get("from") == self._instance:
            return None
        if (queues := queues_asked(content)) is not None:
            return self._answer(queues & self._queues)
        self._hold(content)
        asked = probe_in(content)
        if asked is not None and asked.closed_in is not None and self._closed is not None:
            self._closed.add((asked.queue, asked.name))
        if asked is None or not self._breakers.probe_at_once(asked.queue, asked.name):
            return None
        log.info("queue %s: asked to probe now", asked.queue)
        if asked.closed_in is not None:
            self._breakers.close_as_told(asked.queue, asked.name, asked.closed_in)
        return answer_of(self._instance)

    def _answer(self, queues: frozenset[str]) -> Content | None:
        """Return the answer about these queues; None if this worker knows none of them."""
        opened = [each for each in self._breakers.opened if each[0] in queues]
        return answer_of_held(queues, (self._held(*each) for each in opened)) if queues else None

    def _hold(self, content: Content, but: Collection[tuple[str, str | None]] = ()) -> None:
        for held in held_in(content):
            if (held.queue, held.name) not in but:
                self._breakers.open_as_told(held.queue, held.name, Opened(held.events, held.error, held.worker))

    def _words_of(self, queue: str, change: Change) -> Content:
        match change.change:
            case Opened() as opened:
                return words_of([self._held(queue, change.name, opened)])
            case Closed():
                return question_of(ProbeAsked(queue, change.name, self._name))

    def _held(self, queue: str, name: str | None, opened: Opened) -> Held:
        error = Error(opened.error.type, template_of(opened.error.message))  # an operator may not see payloads
        return Held(queue, name, opened.events, error, opened.worker or self._name)


async def probing(broker: Broker, breakers: Breakers, instance: str, name: str) -> Sequence[Probing]:
    """Hold what the other workers hold, before this one takes an event. Return what is to run from now on, if this
    worker has a queue with a breaker."""
    if not breakers.by_queue:
        return ()
    found = Probing(broker, breakers, instance, name)
    await found.ask()
    return (found,)
