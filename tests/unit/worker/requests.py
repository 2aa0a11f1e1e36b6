"""Requests for slots."""

from bridge.fastcgi import encode_request
from worker.slots.slot import Request

PARAMETERS = {"REQUEST_METHOD": "POST"}


def a_request(body: bytes = b"", event: str = "mail.sent", id: str = "e1") -> Request:
    """Return a request of an event's first attempt."""
    encoded = encode_request({**PARAMETERS, "CONTENT_LENGTH": str(len(body))}, body)
    return Request(event, id, "mail", 1, encoded)
