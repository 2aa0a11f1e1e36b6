"""Messages for amqp-cgi-bridge: any body, with the properties and headers of AMQP. Its programs get the body as it is,
and the rest as parameters. An event has no place for properties and headers, so its data has them beside the body.
Pure.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping

from bridge.foreign_messages.target import ForeignRequest

PROPERTIES = (
    *("content_type", "content_encoding", "delivery_mode", "priority", "correlation_id", "reply_to", "expiration"),
    *("message_id", "timestamp", "type", "user_id", "app_id", "exchange", "routing_key", "redelivered"),
)
"""The properties that become parameters under their own names, in capitals."""

_NO_PARAMETER = re.compile(r"[^A-Z0-9_]")


def data_of(properties: Mapping[str, object], headers: Mapping[str, object], body: bytes) -> bytes:
    """Return the data of the event: JSON with `properties` and `headers`, each value a text, and `body` in base64."""
    fields = {
        "properties": {name: _text(properties[name]) for name in PROPERTIES if properties.get(name) is not None},
        "headers": {str(name): _text(value) for name, value in headers.items()},
        "body": base64.b64encode(body).decode(),
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def request_of(data: bytes, queue: str) -> ForeignRequest:
    """Return the request: the body, the properties as parameters, and the headers as `AMQP_…`. The program is that of
    the settings. Raise `ValueError`."""
    try:
        fields = json.loads(data)
        properties, headers = _texts(fields["properties"]), _texts(fields["headers"])
        body = base64.b64decode(fields["body"], validate=True)
    except (KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise ValueError(f"the data is no message for amqp-cgi-bridge: {type(error).__name__}: {error}") from error
    own = {name.upper(): text for name, text in properties.items() if name in PROPERTIES}
    others = {f"AMQP_{_NO_PARAMETER.sub('_', name.upper())}": text for name, text in headers.items()}
    content_type = own.pop("CONTENT_TYPE", "application/octet-stream")
    return ForeignRequest(None, body, {**others, **own, "REQUEST_URI": "/"}, content_type)


def _texts(fields: Mapping[str, object]) -> dict[str, str]:
    return {str(name): _text(value) for name, value in fields.items()}


def _text(value: object) -> str:
    """Return a value as amqp-cgi-bridge writes it: as text, what is no text as JSON."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case bytes() | bytearray():
            return bytes(value).decode("utf-8", "backslashreplace")
    try:
        return json.dumps(value, default=str)
    except (RecursionError, ValueError, TypeError) as error:  # AMQP allows tables that are nested thousands deep
        return f"(a value that cannot be written: {type(error).__name__})"
