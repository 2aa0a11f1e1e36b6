"""A whole request that is encoded before a connection is chosen. The connection adds the request id."""

import re
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bridge.fastcgi.errors import InvalidRequest
from bridge.fastcgi.params import encode_params
from bridge.fastcgi.records import HEADER, SENT_CONTENT, VERSION, RecordType, encode_header, encode_record

_RESPONDER = 1
_KEEP_CONN = 1
_BEGIN = struct.Struct(">HB5x")
_BEGIN_AND_PARAMS = struct.Struct(">BBHHxxHB5xBBHHxx")
_END_AND_STDIN = struct.Struct(">BBHHxxBBHHxx")
_TYPE_BEGIN, _TYPE_PARAMS, _TYPE_STDIN = map(int, (RecordType.BEGIN_REQUEST, RecordType.PARAMS, RecordType.STDIN))
_LENGTH = re.compile(r"[0-9]{1,18}")


class EncodedRequest(NamedTuple):
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
    body = request.body
    if len(request.params) == 1 and len(body) <= SENT_CONTENT:
        return _encode_small(request_id, request.params[0], body, keep=keep)
    beginning = encode_beginning(request_id, request.params, keep=keep)
    return b"".join((*beginning, *encode_body(request_id, body), encode_record(RecordType.STDIN, request_id)))


def _encode_small(request_id: int, params: bytes, body: bytes, *, keep: bool) -> bytes:
    """Encode a request with one record of PARAMS, and at most one of STDIN: most events are so."""
    if not 0 < request_id <= 0xFFFF:
        raise InvalidRequest(f"request id {request_id}: expected 1 to 65535")
    beginning = _BEGIN_AND_PARAMS.pack(
        *(VERSION, _TYPE_BEGIN, request_id, _BEGIN.size, _RESPONDER, _KEEP_CONN * keep),
        *(VERSION, _TYPE_PARAMS, request_id, len(params)),
    )
    middle = _END_AND_STDIN.pack(VERSION, _TYPE_PARAMS, request_id, 0, VERSION, _TYPE_STDIN, request_id, len(body))
    if not body:
        return beginning + params + middle  # a STDIN record without content is the end
    return b"".join((beginning, params, middle, body, HEADER.pack(VERSION, _TYPE_STDIN, request_id, 0, 0)))
