"""FastCGI 1.0, the web server's side of a Responder: bytes in, reply events out. It opens no socket."""

from bridge.fastcgi.connection import Connection
from bridge.fastcgi.errors import EndedEarly, FastCGIError, IllegalMove, InvalidRequest, ProtocolError
from bridge.fastcgi.records import ProtocolStatus
from bridge.fastcgi.replies import ErrorOutput, Limits, Refused, ReplyBody, ReplyEnd, ReplyEvent, ReplyHead
from bridge.fastcgi.states import State

__all__ = [
    "Connection",
    "EndedEarly",
    "ErrorOutput",
    "FastCGIError",
    "IllegalMove",
    "InvalidRequest",
    "Limits",
    "ProtocolError",
    "ProtocolStatus",
    "Refused",
    "ReplyBody",
    "ReplyEnd",
    "ReplyEvent",
    "ReplyHead",
    "State",
]
