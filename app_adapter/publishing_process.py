"""The publishing threads of this process: made at the first `defer()` to a broker, closed at exit, never inherited.

A server may fork when it likes, so a forked child begins with no thread and a lock of its own.
"""

import atexit
import os
import sys
import threading
import time
from datetime import datetime
from functools import partial

from app_adapter.publishing_thread import EventPublisher, PublishingThread
from bridge.brokers.declared import DeclaredPublisher
from bridge.brokers.opening import importing, open_broker
from bridge.brokers.spool.spool_file import SpoolFile, spool_file
from bridge.errors import BrokerUnavailable, DeferError
from bridge.event import Event
from bridge.queues import Queue
from bridge.settings import Settings

_Key = tuple[str, str, bool, tuple[Queue, ...], SpoolFile | None]


class PublishingProcess:
    """One process's threads, by broker URL, namespace, queues and spool."""

    def __init__(self) -> None:
        self._inherited: list[object] = []
        self._begin()
        os.register_at_fork(after_in_child=self._begin_if_forked)
        atexit.register(self.close)

    def thread(self, settings: Settings) -> PublishingThread:
        """Return the thread for these settings. Raise `DeferError` where this process cannot run threads."""
        self._begin_if_forked()
        if self._closed:
            raise BrokerUnavailable("this process is ending, and publishes nothing more")
        values = settings.values
        spool = spool_file(settings) if values.publish == "spool" else None
        key = (values.broker_url, values.namespace, values.declare, settings.queues(), spool)
        with self._lock:
            thread = self._threads.get(key)
            if thread is None or not thread.alive:
                require_threads()
                thread = PublishingThread(_publisher(*key))
                self._threads[key] = thread
            return thread

    def close(self) -> None:
        """Close every thread, within half a second each; with a spool, within 1.25 s."""
        self._begin_if_forked()
        self._closed = True
        for thread in self._threads.values():
            thread.close()

    def _begin_if_forked(self) -> None:
        # The pid is looked at on every use as well as by the hook: uvloop calls the hooks in processes that have not
        # forked, and a server that forks in C need not call them.
        if self._pid != os.getpid():
            # Kept, and so never finalised: closing what is the parent's could say farewell on the parent's connection.
            self._inherited.append(self._threads)
            self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._closed = False
        self._lock = threading.Lock()
        self._threads: dict[_Key, PublishingThread] = {}


def _publisher(
    url: str, namespace: str, declare: bool, queues: tuple[Queue, ...], spool: SpoolFile | None
) -> EventPublisher:
    declared = DeclaredPublisher(partial(open_broker, url, namespace, declare=declare), queues)
    if spool is None:
        return declared
    with importing:
        from bridge.brokers.spool.publisher import SpoolingPublisher  # and SQLite with it, where it is used alone

    return SpoolingPublisher(declared, spool)


_process = PublishingProcess()


def publish(settings: Settings, event: Event, due: datetime | None) -> None:
    """Publish an event, confirmed, within the settings' `publish_timeout`. Raises `DeferError`."""
    deadline = time.monotonic() + settings.values.publish_timeout.total_seconds()
    thread = _process.thread(settings)
    thread.publish(event, due, deadline - time.monotonic())  # making the thread is a part of the budget too


def require_threads() -> None:
    """Raise `DeferError` under uWSGI without threads: a thread would be made there and never run."""
    uwsgi = sys.modules.get("uwsgi")  # made by the server itself, so it is there before any app
    options = getattr(uwsgi, "opt", None)
    if options is not None and not (_is_on(options.get("enable-threads")) or _is_on(options.get("threads"))):
        raise DeferError("uWSGI runs without threads, and defer() publishes from one: start it with --enable-threads")


def _is_on(value: object) -> bool:
    """Tell whether a uWSGI option is set: True, or bytes as they were written on its command line."""
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value or "")
    return text.lower() not in ("", "0", "false", "no", "off", "n")
