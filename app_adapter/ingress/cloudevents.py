"""CloudEvents 1.0 over HTTP: one event in binary or structured mode, and batches.

The `type` is the name of the event, the `source` its source, and the `id` its key. Data is kept byte for byte in binary
mode. In the other modes it is text, base64, or a JSON value in the JSON of the event. Such a value is encoded again, so
its bytes may change. Further attributes are left out.
"""

import binascii
import json
from base64 import b64decode
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import unquote

from werkzeug.datastructures import Headers

from app_adapter.ingress.bodies import json_of
from app_adapter.ingress.problems import Problem, wrong
from app_adapter.listener_api import is_json
from bridge.attempt import encodable

STRUCTURED = "application/cloudevents"
BATCH = "application/cloudevents-batch"
JSON = "application/json"

REQUIRED = ("specversion", "id", "source", "type")
MAX_SOURCE = 200
"""The longest source in characters."""

_written = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Received(NamedTuple):
    """An event as it came. `payload` None is an empty body. `source` and `key` are None if the sender names none."""

    name: str
    payload: bytes | None
    content_type: str | None
    source: str | None = None
    key: str | None = None


def is_batch(content_type: str) -> bool:
    """Return whether a body of this content type is a batch."""
    return _media_type(content_type).startswith(BATCH)


def is_structured(content_type: str) -> bool:
    """Return whether a body of this content type is a whole event."""
    return _media_type(content_type).startswith(STRUCTURED)


def is_binary(headers: Headers) -> bool:
    """Return whether the headers of a request are the attributes of an event whose data is the body."""
    return "ce-specversion" in headers


def of_binary(headers: Headers, payload: bytes | None, content_type: str | None) -> Received:
    """Return the event of a request in binary mode. Raise `Problem`."""
    given = {name: unquote(headers[f"ce-{name}"]) for name in REQUIRED if f"ce-{name}" in headers}
    _check_attributes(given, "the header ce-")
    return Received(given["type"], payload, content_type, given["source"], given["id"])


def of_structured(content_type: str, body: bytes, max_depth: int) -> Received:
    """Return the event of a request in structured mode. Raise `Problem`."""
    _check_format(content_type, f"{STRUCTURED}+json")
    return _structured(json_of(body, max_depth))


def of_batch(content_type: str, body: bytes, max_depth: int, most: int) -> list[Received | Problem]:
    """Return each event of a batch, or its problem. Raise `Problem` if the body is no batch, or has too many events."""
    _check_format(content_type, f"{BATCH}+json")
    items = json_of(body, max_depth)
    if not isinstance(items, list):
        raise wrong("body", items, "expected a JSON array of CloudEvents")
    if len(items) > most:
        expected = f"expected at most {most} events (ingress.max_events)"
        raise wrong("body", f"{len(items)} events", expected, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return [_one_of_many(item) for item in items]


def _one_of_many(item: object) -> Received | Problem:
    try:
        return _structured(item)
    except Problem as problem:
        return problem


def _structured(item: object) -> Received:
    if not isinstance(item, dict):
        raise wrong("body", item, "expected a CloudEvent, a JSON object")
    _check_attributes(item, "")
    content_type = item.get("datacontenttype")
    if content_type is not None and not isinstance(content_type, str):
        raise wrong("datacontenttype", content_type, "expected a text")
    payload = _data(item, content_type or JSON)
    if content_type is None and item.get("data_base64") is None:
        content_type = JSON
    return Received(item["type"], payload, content_type, item["source"], item["id"])


def _check_attributes(given: Mapping[str, Any], prefix: str) -> None:
    """Raise `Problem` unless the attributes are there that every event has. `prefix` goes before their names in
    messages."""
    for name in REQUIRED:
        value = given.get(name)
        if not isinstance(value, str) or not value:
            raise wrong(f"{prefix}{name}", value, "expected a text, which every CloudEvent has")
    if given["specversion"] != "1.0":
        raise wrong(f"{prefix}specversion", given["specversion"], "expected '1.0'")
    source = given["source"]
    if len(source) > MAX_SOURCE or not source.isprintable():
        raise wrong(f"{prefix}source", source, f"expected at most {MAX_SOURCE} printable characters")


def _data(item: Mapping[str, Any], content_type: str) -> bytes | None:
    encoded, data = item.get("data_base64"), item.get("data")
    if encoded is not None:
        if data is not None:
            raise wrong("data_base64", encoded, "expected no data beside it")
        return _decoded(encoded)
    if "data" not in item:
        return None if is_json(content_type) else b""
    if is_json(content_type):
        return encodable(_written(data)).encode()
    if not isinstance(data, str):
        raise wrong("data", data, f"expected a text, because datacontenttype={content_type!r:.100} is not JSON")
    if encodable(data) != data:
        raise wrong("data", data, "expected a text that UTF-8 can encode", HTTPStatus.UNPROCESSABLE_ENTITY)
    return data.encode()


def _decoded(encoded: object) -> bytes:
    try:
        return b64decode(encoded, validate=True) if isinstance(encoded, str) else _refuse()
    except (binascii.Error, ValueError) as error:
        raise wrong("data_base64", encoded, "expected base64") from error


def _refuse() -> bytes:
    raise ValueError("no text")


def _check_format(content_type: str, expected: str) -> None:
    if _media_type(content_type) != expected:
        status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        raise wrong("Content-Type", content_type, f"expected {expected}", status)


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
