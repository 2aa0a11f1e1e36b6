"""A whole request that is encoded before a connection is chosen. The connection adds the request id."""

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.fastcgi.errors import InvalidRequest
from bridge.fastcgi.params import encode_params
from bridge.fastcgi.records import SENT_CONTENT, RecordType, encode_header, encode_record

_RESPONDER = 1
_KEEP_CONN = 1
_BEGIN = struct.Struct(">HB5x")
_LENGTH = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """A request that can be sent over any connection, and sent again over another connection.

    `params` are the contents of its PARAMS records. `bodiless` is True if its reply has no body, as for HEAD.
    """

    params: tuple[bytes, ...]
    body: bytes
    bodiless: bool = False


def encode_request(params: Mapping[str, str | bytes], body: bytes) -> EncodedRequest:
    """Encode a request. Raise `InvalidRequest` for parameters that cannot be sent (see `encode_params`), and if
    CONTENT_LENGTH is not the length of the body."""
    length = content_length(params)
    if length != len(body):
        raise InvalidRequest(f"a body of {len(body)} bytes: expected {length} by CONTENT_LENGTH")
    return EncodedRequest(tuple(encode_params(params)), body, is_bodiless(params))


def content_length(params: Mapping[str, str | bytes]) -> int:
    """Return the CONTENT_LENGTH in bytes. Raise `InvalidRequest` if it is missing or not a number."""
    value = params.get("CONTENT_LENGTH", "")
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if _LENGTH.fullmatch(text) is None:
        raise InvalidRequest(f"CONTENT_LENGTH {text!r:.100}: expected the number of bytes of the body")
    return int(text)


def is_bodiless(params: Mapping[str, str | bytes]) -> bool:
    """Return whether the reply to this request has no body."""
    return params.get("REQUEST_METHOD") in ("HEAD", b"HEAD")


def next_id(request_id: int) -> int:
    """Return the id of the request after the one with this id; 0 is before the first one."""
    return request_id % 0xFFFF + 1


def encode_beginning(request_id: int, params: Sequence[bytes], *, keep: bool) -> list[bytes]:
    """Return the records that begin a request: BEGIN_REQUEST and all of PARAMS."""
    return [
        encode_record(RecordType.BEGIN_REQUEST, request_id, _BEGIN.pack(_RESPONDER, _KEEP_CONN * keep)),
        *(encode_record(RecordType.PARAMS, request_id, content) for content in params),
        encode_record(RecordType.PARAMS, request_id),
    ]


def encode_body(request_id: int, data: bytes) -> list[bytes | memoryview]:
    """Return the parts of the STDIN records that carry a piece of the body, none for an empty piece. A part of a large
    body is not copied."""
    if 0 < len(data) <= SENT_CONTENT:
        return [encode_record(RecordType.STDIN, request_id, data)]
    view = memoryview(data)
    parts: list[bytes | memoryview] = []
    for at in range(0, len(data), SENT_CONTENT):
        content = view[at : at + SENT_CONTENT]
        parts += (encode_header(RecordType.STDIN, request_id, len(content)), content)
    return parts


def encode_whole(request_id: int, request: EncodedRequest, *, keep: bool) -> bytes:
    """Return the bytes of a whole request, including its body."""
    beginning = encode_beginning(request_id, request.params, keep=keep)
    body = encode_body(request_id, request.body)
    return b"".join((*beginning, *body, encode_record(RecordType.STDIN, request_id)))
