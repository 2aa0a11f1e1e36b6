"""Imports modules on a thread that is not alone in its process."""

import gc
from types import TracebackType

from bridge.local_database.forks import Gate


class Importing:
    """A block in which modules are imported, by one thread at a time. Blocks are not nested.

    This process cannot fork meanwhile, and collects no garbage. A finalizer that imports a module while Python takes
    the lock of another one for the same thread makes that import fail with a `KeyError` (python/cpython#106176, in
    CPython before 3.12).
    """

    def __init__(self) -> None:
        self._gate = Gate()
        self._collects = False

    def __enter__(self) -> None:
        self._gate.__enter__()
        self._collects = gc.isenabled()
        gc.disable()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._collects:
            gc.enable()
        self._gate.__exit__(kind, error, at)
