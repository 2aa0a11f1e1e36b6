"""Events that are published without waiting: those of one turn of the event loop are written by one operation."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from bridge.brokers.any_broker.expiries import Expiries
from bridge.brokers.contract.publishing import Answered
from bridge.brokers.sqlite.queues.enqueuing import Enqueuing
from bridge.brokers.sqlite.queues.late import late
from bridge.brokers.sqlite.queues.row import Row
from bridge.deadline import Deadline
from bridge.errors import BridgeError, BrokerUnavailable, DeferRejected
from bridge.event import Event
from bridge.local_database.connection import WriteRefused
from bridge.local_database.database import Database
from bridge.local_database.operation import Operation
from bridge.local_database.wakeups import CONSUMER_MARK

_Errors = Sequence[BridgeError | None]


@dataclass(frozen=True, slots=True)
class Posted:
    """An event that is to be written before its deadline."""

    row: Row
    event: Event
    deadline: Deadline
    answered: Answered


class Posts:
    """The events of one publisher. `wake_consumers` makes the consumers of this process look for new rows."""

    def __init__(self, database: Database, enqueuing: Enqueuing, wake_consumers: Callable[[], None]) -> None:
        self._database = database
        self._enqueuing = enqueuing
        self._wake_consumers = wake_consumers
        self._expiries = Expiries()
        self._gathered: list[Posted] = []

    def add(self, posted: Posted) -> None:
        """Write this event, with the others of this turn of the loop."""
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self._submit_gathered)
        self._gathered.append(posted)

    def _submit_gathered(self) -> None:
        gathered, self._gathered = self._gathered, []
        self._submit(gathered)

    def _submit(self, posts: list[Posted]) -> None:
        rows = [posted.row for posted in posts]

        def write(connection: sqlite3.Connection) -> _Errors:
            return self._enqueuing.publish_all(connection, rows)

        try:
            operation = self._database.submit(write, wakes=CONSUMER_MARK)
        except BrokerUnavailable as error:  # it is closed here
            for posted in posts:
                posted.answered(error)
            return
        self._wake_consumers()
        written = _Written(operation, posts)
        written.expiry = self._expiries.add(written.nearest, partial(self._expire, written))
        operation.future.add_done_callback(partial(self._end, written))

    def _end(self, written: "_Written", ended: "asyncio.Future[_Errors]") -> None:
        self._expiries.discard(written.expiry)
        error = ended.exception()
        if error is None:
            for at, posted in written.posts.items():
                posted.answered(ended.result()[at])
        elif len(written.posts) == 1:
            (posted,) = written.posts.values()
            posted.answered(DeferRejected(str(error)) if isinstance(error, WriteRefused) else _plain(error))
        else:  # one of them may be the reason, and nothing is written
            for posted in written.posts.values():
                self._submit([posted])

    def _expire(self, written: "_Written") -> None:
        """Answer the events whose deadline has come. If the operation has not begun, submit it again with the others;
        else its result is theirs."""
        withdrawn = written.operation.withdraw()
        moment = written.nearest.at
        for at, posted in tuple(written.posts.items()):
            if posted.deadline.at <= moment:
                del written.posts[at]
                posted.answered(late(posted.event, self._database.name, posted.deadline, withdrawn=withdrawn))
        others = list(written.posts.values())
        if withdrawn:
            written.posts.clear()
            if others:
                self._submit(others)
        elif others:
            written.expiry = self._expiries.add(written.nearest, partial(self._expire, written))


class _Written:
    """An operation, and its events by their place in it, without those that were answered at their deadline."""

    def __init__(self, operation: Operation[_Errors], posts: list[Posted]) -> None:
        self.operation = operation
        self.posts = dict(enumerate(posts))
        self.expiry = 0

    @property
    def nearest(self) -> Deadline:
        """The first deadline of its events."""
        return min((posted.deadline for posted in self.posts.values()), key=lambda deadline: deadline.at)


def _plain(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(repr(error))
