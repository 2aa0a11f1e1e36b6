"""Messages of mq2php 0.4 to 0.6 and its bundles: JSON with a list of headers and an opaque body, such as the message of
SimpleBus, or one of happyr/message-serializer. Pure.
"""

import json
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus

from bridge.foreign_messages.target import ForeignRequest, Target


def request_of(data: bytes, queue: str) -> ForeignRequest:
    """Return the request: the message, with the name of its queue among the headers, as DEFERRED_DATA of a form. Raise
    `ValueError`."""
    message = _message(data)
    headers = _headers(message)
    script = headers.get("dispatch_path", "")
    if not script:
        raise ValueError("the message has no header dispatch_path: expected a message of mq2php")
    target = Target(script, f"{headers.get('fastcgi_host', '')}:{headers.get('fastcgi_port', '')}")
    text = _text(_with(message, queue_name=queue))
    return ForeignRequest(target, f"DEFERRED_DATA={quote_plus(text)}".encode())


def failure_of(data: bytes, queue: str, error: str, now: datetime) -> bytes:
    """Return the message with the headers `queue_name`, `error_date` and `error`. Every header is a text then. Raise
    `ValueError`."""
    message = _message(data)
    texts = [{**each, "value": _as_text(each["value"])} for each in message["headers"]]
    date = now.strftime("%Y-%m-%d %H:%M:%S")
    return _text(_with({**message, "headers": texts}, queue_name=queue, error_date=date, error=error)).encode()


def _message(data: bytes) -> dict[str, Any]:
    """Return the message. Raise `ValueError` for anything that mq2php would not have written."""
    try:
        message = json.loads(data)
    except RecursionError as error:
        raise ValueError("the message is nested too deep") from error
    headers = message.get("headers") if isinstance(message, dict) else None
    listed = isinstance(headers, list) and all(
        isinstance(each, dict) and isinstance(each.get("key"), str) and "value" in each for each in headers
    )
    if not listed:
        raise ValueError('expected a message of mq2php, {"headers": [{"key": …, "value": …}], "body": …}')
    assert isinstance(message, dict)
    return message


def _headers(message: dict[str, Any]) -> dict[str, str]:
    return {each["key"]: _as_text(each["value"]) for each in message["headers"]}


def _with(message: dict[str, Any], **headers: str) -> dict[str, Any]:
    """Return the message with these headers after the others, in place of those of the same names."""
    others = [each for each in message["headers"] if each["key"] not in headers]
    return {**message, "headers": [*others, *({"key": key, "value": value} for key, value in headers.items())]}


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _text(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))
