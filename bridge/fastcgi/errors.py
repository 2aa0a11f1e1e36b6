"""What `bridge.fastcgi` raises. The class says whose fault it is: the application's, or the caller's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.fastcgi.replies import ReplyEvent


class FastCGIError(Exception):
    """The root of everything that this package raises."""


class ProtocolError(FastCGIError):
    """The application broke the protocol; the message says what was seen and what was expected.

    The connection is then broken and can only be dropped. `replies` are the events of the same `receive()` that came
    before the violation, so that nothing the application said is lost.
    """

    def __init__(self, message: str, replies: Sequence[ReplyEvent] = ()) -> None:
        super().__init__(message)
        self.replies = tuple(replies)


class EndedEarly(ProtocolError):
    """The stream ended before the reply did. `began` tells whether any byte had come since the request began: where
    none had, on a connection used before, the server may just have been recycled (or the handler may have run)."""

    def __init__(self, message: str, *, began: bool) -> None:
        super().__init__(message)
        self.began = began


class IllegalMove(FastCGIError):
    """The caller asked for what the state of the connection does not allow. Nothing has changed."""


class InvalidRequest(FastCGIError, ValueError):
    """The caller's parameters or body cannot be sent as they are. Nothing has changed."""
