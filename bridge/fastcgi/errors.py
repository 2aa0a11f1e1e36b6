"""The errors of `bridge.fastcgi`. The class says who caused the error: the application or the caller."""

from collections.abc import Sequence

from bridge.fastcgi.reply_events import ReplyEvent


class FastCGIError(Exception):
    """The base class of all errors of this package."""


class ProtocolError(FastCGIError):
    """The application broke the protocol; the message says what it sent and what was expected.

    The connection is then broken and can only be closed. `replies` are the events before the violation in the same call
    of `receive()`.
    """

    def __init__(self, message: str, replies: Sequence[ReplyEvent] = ()) -> None:
        super().__init__(message)
        self.replies = tuple(replies)


class NotFastCGI(ProtocolError):
    """The server speaks another protocol. It cannot have understood the request, so nothing ran."""


class EndedEarly(ProtocolError):
    """The stream ended before the reply ended. `began` is True if any byte arrived since the request began. If none
    arrived on a reused connection, the server may have closed it because it was recycled; the handler may have run."""

    def __init__(self, message: str, *, began: bool) -> None:
        super().__init__(message)
        self.began = began


class IllegalMove(FastCGIError):
    """The state of the connection does not allow the caller's move. The state has not changed."""


class InvalidRequest(FastCGIError, ValueError):
    """The caller's parameters or body cannot be sent. The state of the connection has not changed."""
