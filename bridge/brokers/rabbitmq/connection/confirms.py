"""Takes RabbitMQ's answers to the publishes of one channel out of the bytes of its connection. Pure."""

import struct
from collections.abc import Callable
from typing import NamedTuple

from bridge.brokers.rabbitmq.connection.delivery_stream import HEADER, METHOD, read_header

_RETURN, _ACK, _NACK = (struct.pack(">HH", 60, method) for method in (50, 80, 120))
_TAG = slice(4, 12)
_BITS = 12
_MULTIPLE = 1


class Confirm(NamedTuple):
    """The answer to the publish with this number, or with `multiple` to all up to it. Unless it is an `ack`, RabbitMQ
    has rejected them."""

    number: int
    multiple: bool
    ack: bool


class Confirms:
    """Calls `confirmed` for each confirm, and `returned` with the id of each message that comes back."""

    def __init__(self, confirmed: Callable[[Confirm], None], returned: Callable[[str], None]) -> None:
        self._confirmed = confirmed
        self._returned = returned
        self._returning = False
        self._message_id = ""
        self._missing = 0

    def takes(self, kind: int, payload: bytes) -> bool:
        """Take a frame that is a confirm, or part of a message that comes back."""
        if kind == METHOD:
            method = payload[:4]
            if method in (_ACK, _NACK):
                number = int.from_bytes(payload[_TAG])
                self._confirmed(Confirm(number, payload[_BITS] & _MULTIPLE == _MULTIPLE, method == _ACK))
                return True
            self._returning = method == _RETURN
            return self._returning
        if not self._returning:
            return False
        if kind == HEADER:
            self._missing, properties = read_header(payload)
            self._message_id = properties.message_id or ""
        else:
            self._missing -= len(payload)
        if self._missing <= 0:
            self._returning = False
            self._returned(self._message_id)
        return True
