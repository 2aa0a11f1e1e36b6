"""Marks the threads of the bridge that `defer()` waits for.

Code of the app can run on them: log handlers, watchers, and finalizers, which Python calls on any thread. A `defer()`
there would wait for itself, so it has to know where it is.
"""

import threading

_marks = threading.local()


def mark_this_thread() -> None:
    """Mark the calling thread until it ends."""
    _marks.own = True


def is_own_thread() -> bool:
    """Return True if the calling thread is marked."""
    return getattr(_marks, "own", False)
