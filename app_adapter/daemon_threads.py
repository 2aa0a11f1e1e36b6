"""An executor whose threads end with the process, unlike those of `ThreadPoolExecutor`, for which Python waits at exit.

The publishing thread imports a broker and looks up host names on other threads. Either may take many seconds, and a web
process that stops must not wait for them.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class DaemonThreads(ThreadPoolExecutor):  # an event loop accepts no other class as its default executor
    """Runs each call on a new daemon thread. `begin` is called first on each of them."""

    def __init__(self, begin: Callable[[], None]) -> None:
        super().__init__()
        self._begin = begin

    def submit(self, call: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> Future[T]:
        """Start the call; return the future of its result. Raise `RuntimeError` if no thread can be started."""
        future: Future[T] = Future()

        def run() -> None:
            self._begin()
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(call(*arguments, **named))
            except BaseException as error:  # the caller gets it, whatever it is
                future.set_exception(error)

        threading.Thread(target=run, name="bridge-publisher-helper", daemon=True).start()
        return future
