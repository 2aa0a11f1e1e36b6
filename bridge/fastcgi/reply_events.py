"""The events of one reply, which `Connection.receive` returns."""

from dataclasses import dataclass
from enum import IntEnum


class ProtocolStatus(IntEnum):
    """The protocol status in END_REQUEST: the request was completed, or why the application refused it."""

    REQUEST_COMPLETE = 0
    CANT_MPX_CONN = 1
    OVERLOADED = 2
    UNKNOWN_ROLE = 3


@dataclass(frozen=True, slots=True)
class ReplyHead:
    """The header block: the status, its reason (or an empty text), and the other fields in their order, decoded as
    ISO-8859-1. Without a Status field, the status is 302 if there is a Location, else 200."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ReplyBody:
    """A piece of the body, never empty."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ErrorOutput:
    """A piece of the application's STDERR, never empty. It is untrusted text of any encoding."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ReplyEnd:
    """The end of a whole reply. `app_status` is the application's exit status, 0 to 2**32 - 1. `overlong` is True if
    the body was longer than its Content-Length and was cut there."""

    app_status: int
    overlong: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The application refused the request before any output. After CANT_MPX_CONN or OVERLOADED the request can be sent
    again without the risk that it runs twice. After UNKNOWN_ROLE it would always be refused."""

    protocol_status: ProtocolStatus


ReplyEvent = ReplyHead | ReplyBody | ErrorOutput | ReplyEnd | Refused
