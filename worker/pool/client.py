"""The callbacks between a supervisor and the part of a program that sends requests to its children."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bridge.child_protocol import Ready
from worker.pool.child import Child


@dataclass(frozen=True, slots=True)
class PoolClient:
    """The callbacks of the program part that sends requests to the children.

    `refuses` returns why a child that booted later does not fit the first ones, or None. `leave` sends the child no
    further request, and returns when no request runs in it. The others tell: `ready`, the child is warm; `seated`, it
    takes requests from now on; `lost`, it has ended or is about to be killed (how); `gone`, it has ended as planned
    (why); `trouble`, a boot has failed (why, and when the next one begins).
    """

    refuses: Callable[[Ready], str | None]
    ready: Callable[[Child], Awaitable[None]]
    seated: Callable[[Child], None]
    leave: Callable[[Child], Awaitable[None]]
    lost: Callable[[Child, str], None]
    gone: Callable[[Child, str], None]
    trouble: Callable[[str], None]
