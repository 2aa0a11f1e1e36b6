"""FastCGI 1.0, the web server's side of a Responder: bytes in, reply events out. It opens no socket."""

from bridge.fastcgi.alike import ReplyMemory
from bridge.fastcgi.connection import Connection
from bridge.fastcgi.errors import EndedEarly, FastCGIError, IllegalMove, InvalidRequest, NotFastCGI, ProtocolError
from bridge.fastcgi.params import append_params, encode_params
from bridge.fastcgi.replies import Limits
from bridge.fastcgi.reply_events import (
    ErrorOutput,
    ProtocolStatus,
    Refused,
    ReplyBody,
    ReplyEnd,
    ReplyEvent,
    ReplyHead,
)
from bridge.fastcgi.requests import EncodedRequest, encode_request
from bridge.fastcgi.states import ConnectionState

__all__ = [
    "Connection",
    "ConnectionState",
    "EncodedRequest",
    "EndedEarly",
    "ErrorOutput",
    "FastCGIError",
    "IllegalMove",
    "InvalidRequest",
    "Limits",
    "NotFastCGI",
    "ProtocolError",
    "ProtocolStatus",
    "Refused",
    "ReplyBody",
    "ReplyEnd",
    "ReplyEvent",
    "ReplyHead",
    "ReplyMemory",
    "append_params",
    "encode_params",
    "encode_request",
]
