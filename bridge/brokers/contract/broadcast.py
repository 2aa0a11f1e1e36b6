"""The broker's promise about broadcasts: a message reaches every process that listens to its subject now, at most once.
No message is stored.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from bridge.logs import Content

Listener = Callable[[Content], Awaitable[Content | None]]
"""Called with one message. Its result is the answer to a question; None sends no answer."""

Complete = Callable[[Sequence[Content]], bool]
"""Called with the answers that have arrived; returns True if no further answer is expected."""


class Broadcast(Protocol):
    """The messages of one subject. Messages and answers are JSON objects of at most `bridge.logs.MAX_RECORD` bytes."""

    def listen(self, listener: Listener) -> AbstractAsyncContextManager[None]:
        """Call the listener with each message that is sent while the block runs, one after the other. Wait while the
        broker is unreachable. The listener misses messages that are sent during that time, or that arrive much faster
        than it returns. An exception of the listener is logged. Raise `BrokerRefused` or `BrokerUnavailable`."""

    async def tell(self, content: Content) -> None:
        """Send a message to all listeners of the subject, also those of this process. Raise `TooLarge`,
        `BrokerRefused`, or `BrokerUnavailable` after some 5 s."""

    async def ask_all(
        self, question: Content, within: float, complete: Complete | None = None, patience: float = 0.0
    ) -> list[Content]:
        """Send a question to all listeners of the subject, and return the answers that arrive within `within` seconds
        after that. The call always takes that long. If the answers are not `complete` then, wait up to `patience`
        seconds more until they are. Raise what `tell` raises."""

    async def close(self) -> None:
        """Close the connections; a second call does nothing."""
