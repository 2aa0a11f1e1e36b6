"""Publishes events as jobs of Sidekiq, as its own client pushes them: with the name of the queue in the set `queues`,
from which Sidekiq's page knows it.

The data of such an event is the job without `enqueued_at`.
"""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    NoPermissionError,
    ReadOnlyError,
    ResponseError,
)

from bridge.back_off import BackOff
from bridge.call import Answer, Question
from bridge.cancellations import Cancellation
from bridge.config.redis_url import RedisServer
from bridge.deadline import Deadline
from bridge.errors import BridgeError, BrokerUnavailable, CallError, DeferForbidden, DeferRejected, DeferUnconfirmed
from bridge.event import Event
from bridge.publishing.lazy_publisher import Destination
from bridge.publishing.sidekiq.connection import FAILURES, RedisConnection, reason

FRESH_SECONDS = 0.05
"""A server that has answered within this time is not asked again whether it can be reached."""
BATCH = 256
"""Most jobs that are pushed together."""
_BACK_OFF = BackOff(first=0.02, at_most=0.3)
_FORBIDDEN = (AuthenticationError, AuthorizationError, NoPermissionError)
_NOT_NOW = ("NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "UNBLOCKED")


@dataclass(eq=False, slots=True)
class _Push:
    """A job that waits to be pushed, and its answer: None if Redis has it, else the error."""

    event: Event
    due: datetime | None
    answer: "asyncio.Future[BridgeError | None]"
    sent: bool = False


class SidekiqPublisher:
    """Publishes to one Redis server, in order, and jobs that wait at the same time together. An `EventPublisher` of a
    publishing thread."""

    closing = 0.5

    def __init__(self, server: RedisServer) -> None:
        """Raise `SettingsError` if the password cannot be read."""
        self._connection = RedisConnection(server)
        self._waiting: dict[_Push, None] = {}  # in the order in which they came
        self._turn = asyncio.Lock()
        self._answered_at = -FRESH_SECONDS
        self.name = f"Sidekiq's Redis {server}"
        self.trouble = "it has not answered yet"

    async def ready(self, deadline: Deadline) -> None:
        """Do nothing: `publish` waits for the server, so that jobs are pushed in the order in which they came."""

    async def publish(
        self, event: Event, due: datetime | None = None, *, deadline: Deadline, within: timedelta | None = None
    ) -> Destination:
        """Push the job before the deadline: to its queue, or into the schedule if it is due later. Raise
        `BrokerUnavailable`, `DeferForbidden` or `DeferRejected` (it was not published), or `DeferUnconfirmed`."""
        push = _Push(event, due, asyncio.get_running_loop().create_future())
        self._waiting[push] = None
        try:
            async with asyncio.timeout(deadline.remaining(time.monotonic())), self._turn:
                if not push.answer.done():  # else another caller has pushed this job together with its own
                    await self._push_waiting()
        except FAILURES as error:
            if not push.answer.done():
                raise self._translated(event, error, push.sent) from error
        finally:
            self._waiting.pop(push, None)
        if (refusal := push.answer.result()) is not None:
            raise refusal
        return "broker"

    async def _push_waiting(self) -> None:
        """Push the jobs that wait, at most `BATCH`, and give each its answer. Raise if the server cannot be reached."""
        await self._reach()
        batch = list(islice(self._waiting, BATCH))
        for push in batch:
            push.sent = True
            del self._waiting[push]
        try:
            answers = await self._push(batch)
        except (*FAILURES, asyncio.CancelledError) as error:
            await self._disconnect()
            if not isinstance(error, asyncio.CancelledError):
                self.trouble = reason(error)
            answers = [error] * len(batch)
        self._answered_at = time.monotonic()
        for push, answer in zip(batch, answers, strict=True):
            refusal = None if answer is None else self._translated(push.event, answer, sent=True)
            push.answer.set_result(refusal)
        if any(answer is not None for answer in answers):
            await self._disconnect()

    async def _reach(self) -> None:
        """Return when the server is connected and answers. Raise if it refuses the client."""
        waits = _BACK_OFF.waits(random.random)
        while True:
            try:
                await self._connection.ensure()
                if time.monotonic() - self._answered_at >= FRESH_SECONDS:
                    await self._connection.client().ping()
            except _FORBIDDEN:
                raise
            except FAILURES as error:
                self.trouble = reason(error)
                await self._disconnect()
                await asyncio.sleep(next(waits))
            else:
                return

    async def _push(self, batch: Sequence[_Push]) -> list[BaseException | None]:
        """Push jobs; return the error of each, None if the server has it."""
        pipeline = self._connection.client().pipeline(transaction=False)
        answers: list[int] = []  # where the answer to each job will be
        for push in batch:
            data = push.event.data
            if push.due is not None:
                pipeline.zadd("schedule", {data: push.due.timestamp()})
            else:
                queue = json.loads(data)["queue"]
                pipeline.sadd("queues", queue)
                pipeline.lpush(f"queue:{queue}", data[:-1] + f',"enqueued_at":{time.time()}}}'.encode())
            answers.append(len(pipeline) - 1)
        results = await pipeline.execute(raise_on_error=False)
        return [each if isinstance(each := results[at], BaseException) else None for at in answers]

    def _translated(self, event: Event, error: BaseException, sent: bool) -> BridgeError:
        words = reason(error) if sent or not isinstance(error, TimeoutError) else self.trouble
        if isinstance(error, _FORBIDDEN):
            return DeferForbidden(f"{self.name} refuses job {event.id}: {words}")
        if not sent:
            return BrokerUnavailable(f"{self.name} could not be reached in time; nothing was published: {words}")
        if isinstance(error, ReadOnlyError | BusyLoadingError) or words.startswith(_NOT_NOW):
            return BrokerUnavailable(f"{self.name} takes no jobs now; nothing was published: {words}")
        if isinstance(error, ResponseError):
            return DeferRejected(f"{self.name} rejects job {event.id}: {words}")
        message = f"job {event.id} was written and not confirmed by {self.name}; it may still run: {words}"
        return DeferUnconfirmed(event.id, message)

    async def _disconnect(self) -> None:
        """Close the connection: an answer may still be on its way."""
        self._answered_at = -FRESH_SECONDS
        await self._connection.close()

    def at_once(self, event: Event, due: datetime | None = None, *, deadline: Deadline) -> None:
        """Return None: each job has to wait for the one before."""

    async def ask(self, question: Question, *, deadline: Deadline) -> Answer:
        """Raise `CallError`: Sidekiq answers no calls."""
        raise CallError(f"{self.name} answers no calls")

    async def cancel(self, cancellation: Cancellation, *, deadline: Deadline) -> None:
        """Raise `DeferForbidden`: the bridge cannot cancel a job of Sidekiq."""
        raise DeferForbidden(f"{self.name} has no cancellations")

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()
