"""Publishing from this process: its threads are made at the first `defer()`, closed at exit, and never inherited.

A server may fork at any time, so a forked child begins without threads. There is no lock here: a signal handler or a
finalizer can interrupt `defer()` anywhere and call `defer()` itself.
"""

import atexit
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from app_adapter.outgoing import Outgoing
from app_adapter.publishing_thread import PublishingThread
from bridge.app_moments import Deferred, Spooled, hears, tell_nobody
from bridge.brokers.contract.publishing import KNOWS_NO_KEYS
from bridge.brokers.contract.tls import Tls
from bridge.brokers.opening import importing, open_broker
from bridge.config.redis_url import RedisServer
from bridge.config.settings import Settings
from bridge.config.sqlite_url import is_sqlite
from bridge.deadline import Deadline
from bridge.errors import CallError, DeferError, DeferUnavailable, DuplicateEvent
from bridge.event import Event
from bridge.local_database.own_threads import is_own_thread
from bridge.publishing.sidekiq_queues import of_sidekiq
from bridge.publishing.spool.spool_file import SpoolFile, spool_file
from bridge.queues import Queue

if TYPE_CHECKING:
    from app_adapter.publishing_loop import EventPublisher
    from bridge.call import Answer, Question
    from bridge.cancellations import Cancellation
    from bridge.moments import Tell
    from bridge.publishing.lazy_publisher import Destination

BATCH = 1000
"""Most events of `publish_many` that wait for their confirms at a time."""

_Opener = tuple[str, str, bool, int | None, bool, Tls]
"""The broker's URL, the namespace, `declare`, `file_group`, whether a missing SQLite file is created, and TLS."""
_Key = tuple[_Opener, tuple[Queue, ...], SpoolFile | None]


@dataclass(slots=True)
class _Process:
    """The publishing threads of one process, the last one that was asked for, and whether the process is ending."""

    threads: dict[_Key | RedisServer, PublishingThread] = field(default_factory=dict)
    last: "tuple[Settings, bool, PublishingThread] | None" = None
    closed: bool = False


class PublishingThreads:
    """The publishing threads of one process, by broker URL, namespace, queues and spool; those of Sidekiq by server."""

    def __init__(self) -> None:
        self._by_pid: dict[int, _Process] = {}
        self._inherited: list[object] = []
        os.register_at_fork(after_in_child=self._forget_ancestors)
        atexit.register(self.close)

    def thread(self, settings: Settings, tell: "Tell" = tell_nobody, *, creates: bool = True) -> PublishingThread:
        """Return the thread for these settings. Raise `DeferError` if this process cannot run threads or is ending.
        `creates`: a missing SQLite file is created.

        The thread's relay tells `Relayed` to the `tell` of the first caller. If several apps share a thread, only that
        app's watchers receive it.
        """
        process = self._process()
        last = process.last
        if last is not None and last[0] is settings and last[1] is creates and not process.closed:
            return last[2]  # making the key of a thread takes longer than all else here
        values = settings.values
        spool = spool_file(settings) if values.publish == "spool" else None
        opener = (values.broker_url, values.namespace, values.declare, values.file_group, creates, settings.tls())
        key = (opener, settings.queues(), spool)
        thread = self._thread(key, partial(_publisher, *key, tell))
        process.last = settings, creates, thread
        return thread

    def sidekiq_thread(self, server: RedisServer) -> PublishingThread:
        """Return the thread that publishes jobs of Sidekiq to this server. Raise what `thread` raises."""
        return self._thread(server, partial(_sidekiq_publisher, server))

    def _thread(self, key: _Key | RedisServer, make: "Callable[[], EventPublisher]") -> PublishingThread:
        process = self._process()
        if process.closed:
            raise DeferUnavailable("this process is ending and publishes no more events")
        thread = process.threads.get(key)
        if thread is None:
            require_threads()
            # Of several callers that get here at the same time, each makes an object, and the first one's is used.
            thread = process.threads.setdefault(key, PublishingThread(make))
        return thread

    def close(self) -> None:
        """Close every thread, within 0.5 s each; with a spool, within 1.25 s."""
        process = self._process()
        process.closed = True
        for thread in list(process.threads.values()):
            thread.close()

    def _process(self) -> _Process:
        # The process id is compared on every use, because a server that forks in C may not call the fork hooks.
        pid = os.getpid()
        return self._by_pid.get(pid) or self._by_pid.setdefault(pid, _Process())

    def _forget_ancestors(self) -> None:
        # The hook makes sure that a process whose ancestor had the same id does not use that ancestor's threads. uvloop
        # calls the hooks in processes that have not forked.
        if os.getpid() not in self._by_pid:
            # Keep the parent's threads, so that they are never finalised: that could close the parent's connection.
            self._inherited.append(self._by_pid)
            self._by_pid = {}


def _publisher(opener: _Opener, queues: tuple[Queue, ...], spool: SpoolFile | None, tell: "Tell") -> "EventPublisher":
    """Return the publisher of a thread. Called on that thread, which imports what a process needs only to publish."""
    with importing:
        from bridge.publishing.lazy_publisher import LazyPublisher
    url, namespace, declare, group, creates, tls = opener
    opening = partial(open_broker, url, namespace, declare=declare, creates=creates, file_group=group, tls=tls)
    declared = LazyPublisher(opening, queues)
    if spool is None:
        return declared
    with importing:
        from bridge.publishing.spooling_publisher import SpoolingPublisher

    return SpoolingPublisher(declared, spool, tell)


def _sidekiq_publisher(server: RedisServer) -> "EventPublisher":
    """Return the publisher of a thread, as `_publisher` does."""
    with importing:
        publisher: EventPublisher = of_sidekiq("publisher").SidekiqPublisher(server)
    return publisher


_threads_of_this_process = PublishingThreads()


def import_spool(settings: Settings) -> None:
    """With a spool, import what writes to it. Under load that can take longer than `publish_timeout`, so it has to be
    done before the first `defer()`, which could not keep its promise. The broker is imported at the first event."""
    if settings.values.publish == "spool":
        with importing:
            import app_adapter.publishing_loop  # noqa: F401  # for its effect
            import bridge.publishing.spooling_publisher  # noqa: F401  # as above


def publish(
    settings: Settings,
    event: Event,
    due: datetime | None,
    tell: "Tell" = tell_nobody,
    *,
    creates: bool = True,
    within: timedelta | None = None,
    sidekiq: RedisServer | None = None,
) -> None:
    """Publish an event and wait for its confirm, at most the settings' `publish_timeout`. Raise `DeferError`. A missing
    SQLite file is an error unless `creates`. `within` is as for `Publisher.publish`, `sidekiq` as in `Outgoing`.

    Then call `tell` with `Deferred` or `Spooled`, in the calling thread.
    """
    outgoing = Outgoing(event, due, within, sidekiq)
    _check(settings, outgoing)
    began = time.monotonic()
    deadline = Deadline.after(settings.values.publish_timeout.total_seconds(), began)
    thread = _thread_to(sidekiq, settings, tell, creates=creates)  # the deadline includes the thread's start
    _tell(tell, outgoing, thread.publish(event, due, deadline, within), began)


def publish_many(settings: Settings, outgoing: Sequence[Outgoing], tell: "Tell") -> list[DeferError | None]:
    """Publish events, `BATCH` at a time, and return the error of each, None if it was confirmed. Each batch has the
    settings' `publish_timeout`. After a batch with an error, the further events are not tried.

    Call `tell` as `publish` does. Raise `DeferError` if nothing can be published here.
    """
    for each in outgoing:
        _check(settings, each)
    errors: list[DeferError | None] = []
    for first in range(0, len(outgoing), BATCH):
        if any(error is not None and not isinstance(error, DuplicateEvent) for error in errors):
            not_tried = DeferError("not tried, because an event before it was not deferred")
            return errors + [not_tried] * (len(outgoing) - len(errors))
        errors += _publish_batch(settings, outgoing[first : first + BATCH], tell)
    return errors


def _publish_batch(settings: Settings, batch: Sequence[Outgoing], tell: "Tell") -> list[DeferError | None]:
    began = time.monotonic()
    deadline = Deadline.after(settings.values.publish_timeout.total_seconds(), began)
    errors: list[DeferError | None] = [None] * len(batch)
    for server in dict.fromkeys(each.sidekiq for each in batch):
        chosen = [(at, each) for at, each in enumerate(batch) if each.sidekiq == server]
        thread = _thread_to(server, settings, tell)
        answers = thread.publish_many([each for _, each in chosen], deadline)
        for (at, each), answer in zip(chosen, answers, strict=True):
            if isinstance(answer, DeferError):
                errors[at] = answer
            else:
                _tell(tell, each, answer, began)
    return errors


def _thread_to(
    sidekiq: RedisServer | None, settings: Settings, tell: "Tell", *, creates: bool = True
) -> PublishingThread:
    if sidekiq is not None:
        return _threads_of_this_process.sidekiq_thread(sidekiq)
    return _threads_of_this_process.thread(settings, tell, creates=creates)


def _check(settings: Settings, outgoing: Outgoing) -> None:
    if is_own_thread():
        raise DeferError(
            f"event {outgoing.event.name!r} was deferred on a thread that publishes events, which would wait for "
            "itself; nothing was published. A log handler, a watcher or a finalizer that defers must leave out that "
            "thread"
        )
    if outgoing.within is not None and not is_sqlite(settings.values.broker_url):
        raise DeferError(f"within={outgoing.within}: {KNOWS_NO_KEYS}")


def _tell(tell: "Tell", outgoing: Outgoing, destination: "Destination", began: float) -> None:
    moment = Spooled if destination == "spool" else Deferred
    if hears(tell, moment):
        tell(moment(outgoing.event, outgoing.due, time.monotonic() - began))


def ask(settings: Settings, question: "Question", tell: "Tell" = tell_nobody, *, creates: bool = True) -> "Answer":
    """Ask a question, and return its answer within the question's timeout. Raise `CallError`, or `DeferError` if this
    process cannot run threads or is ending. A missing SQLite file is an error unless `creates`."""
    if is_own_thread():
        raise CallError(
            f"{question.event.name!r} was called on a thread that publishes events, which would wait for itself"
        )
    deadline = Deadline.after(question.timeout, time.monotonic())
    return _threads_of_this_process.thread(settings, tell, creates=creates).ask(question, deadline)


def cancel(settings: Settings, cancellation: "Cancellation", tell: "Tell" = tell_nobody) -> None:
    """Cancel an event within `publish_timeout`. Raise `DeferUnavailable` or `DeferForbidden` (the event is not
    cancelled), `DeferUnconfirmed` (it may be), or `DeferError` if this process cannot run threads."""
    if is_own_thread():
        raise DeferError(f"event {cancellation.event} was cancelled on a thread that publishes events")
    deadline = Deadline.after(settings.values.publish_timeout.total_seconds(), time.monotonic())
    _threads_of_this_process.thread(settings, tell).cancel(cancellation, deadline)


def thread_of(settings: Settings, what: str, tell: "Tell" = tell_nobody, *, creates: bool = True) -> PublishingThread:
    """Return the thread of these settings, for a mailbox. Raise `DeferError` if `what` is done on such a thread, or if
    this process cannot run threads or is ending. A missing SQLite file is an error unless `creates`."""
    if is_own_thread():
        raise DeferError(f"{what} on a thread that publishes events, which would wait for itself")
    return _threads_of_this_process.thread(settings, tell, creates=creates)


def require_threads() -> None:
    """Raise `DeferError` under uWSGI without threads, where a thread could be made but would never run."""
    uwsgi = sys.modules.get("uwsgi")  # made by the server before it loads an app
    options = getattr(uwsgi, "opt", None)
    if options is not None and not (_is_on(options.get("enable-threads")) or _is_on(options.get("threads"))):
        raise DeferError("uWSGI runs without threads, and defer() publishes from one: start it with --enable-threads")


def _is_on(value: object) -> bool:
    """Return True if a uWSGI option is set: True, or the bytes from its command line."""
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value or "")
    return text.lower() not in ("", "0", "false", "no", "off", "n")
