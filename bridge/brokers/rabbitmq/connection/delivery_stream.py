"""Takes the deliveries of some channels out of the bytes that RabbitMQ sends, and leaves the other frames. Pure.

AMQP sends a delivery as frames: a method, a header, and the parts of the body. A frame is

    type, 1 byte | channel, 2 | size, 4 | payload of that size | 0xCE
"""

import logging
import struct
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Protocol

from pamqp.commands import Basic

from bridge.brokers.rabbitmq.connection.field_tables import UNDECODABLE, short_string, table, time

FRAME = struct.Struct(">BHI")
END = 0xCE
OVERHEAD = FRAME.size + 1
METHOD, HEADER, BODY, BEAT = 1, 2, 3, 8
HEARTBEAT = FRAME.pack(BEAT, 0, 0) + bytes([END])

_HEAD = FRAME.size
_unpack_frame = FRAME.unpack_from
_DELIVER = struct.pack(">HH", 60, 60)
_ENDS_OF_CHANNEL = (struct.pack(">HH", 20, 40), struct.pack(">HH", 20, 41))
_BODY_SIZE_AND_FLAGS = struct.Struct(">4xQH")
_MORE_FLAGS = 1
_TYPES = frozenset((METHOD, HEADER, BODY, BEAT))

log = logging.getLogger(__name__)


class Deliver(NamedTuple):
    """The method of a delivery: how it came to this consumer."""

    delivery_tag: int
    consumer_tag: str
    redelivered: bool
    exchange: str
    routing_key: str


TakeDelivery = Callable[[Deliver, Basic.Properties, bytes], None]


class Taker(Protocol):
    """Takes some of the frames of one channel."""

    def takes(self, kind: int, payload: bytes) -> bool:
        """Return whether it takes this frame, which then does not reach aiormq."""


class DeliveryStream:
    """The bytes of one connection, from its first one."""

    def __init__(self) -> None:
        self._channels: dict[int, Taker] = {}
        self._held = bytearray()
        self._wanted = 0
        self._unread = b""
        self._at = 0
        self._damaged = False
        self.behind = False
        """True if `feed` has stopped before the end of what it has, and is to be called again."""

    def take(self, channel: int, deliver: TakeDelivery) -> None:
        """Pass the deliveries of this channel to `deliver` until the channel is closed."""
        self.take_frames(channel, _Deliveries(deliver))

    def take_frames(self, channel: int, taker: "Taker") -> None:
        """Offer the frames of this channel to `taker` until the channel is closed."""
        self._channels[channel] = taker

    def feed(self, data: bytes, at_most: int = sys.maxsize) -> bytes:
        """Process the bytes that were read, and pass on the deliveries in them. Return the whole frames that are left.
        After bytes that are no frames, all bytes are left. At most `at_most` frames are taken. The others wait for the
        next call, without being copied: `_at` is the place in `_unread` up to which it is read, and `_held` follows it.
        """
        if self._damaged:
            return data
        at, more = 0, bytearray()
        if self.behind:
            more, self._held = self._held, more
            more += data
            data, at = self._unread, self._at
            self._unread, self.behind = b"", False
        elif self._held:
            self._held += data
            if len(self._held) < self._wanted:
                return b""
            data = bytes(self._held)
            self._held.clear()
        left: list[bytes] = []
        at, at_most = self._take_whole(data, at, at_most, left)
        if self._damaged:
            left.append(bytes(more))
        elif at < len(data) and not at_most:
            self.behind, self._unread, self._at, self._held = True, data, at, more
        else:
            self._held += data[at:]
            if more:
                self._held += more
                left.append(self.feed(b"", at_most))
        return left[0] if len(left) == 1 else b"".join(left)

    def _take_whole(self, data: bytes, at: int, at_most: int, left: list[bytes]) -> tuple[int, int]:
        """Take at most `at_most` of the whole frames from `at` on, and add the others to `left`. Return the place up to
        which the data are read, and how many frames may still be taken.

        Bytes that are no frames are added to `left` with all that follow: what listens is no RabbitMQ, and aiormq says
        so.
        """
        self._wanted, size = 0, len(data)
        kept = at  # bytes before it are taken, or in `left`
        while at < size and at_most:
            if data[at] not in _TYPES:
                self._damaged = True
                break
            if size - at < OVERHEAD:
                self._wanted = OVERHEAD
                break
            kind, number, length = _unpack_frame(data, at)
            end = at + length + OVERHEAD
            if end > size:
                self._wanted = end - at
                break
            if data[end - 1] != END:
                self._damaged = True
                break
            taker = self._channels.get(number)
            if taker is not None:
                payload = data[at + _HEAD : end - 1]
                if kind == METHOD and payload.startswith(_ENDS_OF_CHANNEL):
                    del self._channels[number]
                if taker.takes(kind, payload):
                    at_most -= 1
                    if kept < at:
                        left.append(data[kept:at])
                    kept = end
            at = end
        if self._damaged:
            at = size
        if kept < at:
            left.append(data[kept:at])
        return at, at_most


class _Deliveries:
    """The delivery of one channel that is arriving."""

    def __init__(self, deliver: TakeDelivery) -> None:
        self._deliver = deliver
        self._method: Deliver | None = None
        self._properties = Basic.Properties()
        self._missing = 0
        self._parts: list[bytes] = []

    def takes(self, kind: int, payload: bytes) -> bool:
        """Take a frame that is part of a delivery."""
        if kind == METHOD:
            is_delivery = payload.startswith(_DELIVER)
            self._method = read_method(payload) if is_delivery else None
            self._parts = []
            return is_delivery
        method = self._method
        if method is None:
            return False
        if kind == HEADER:
            self._missing, self._properties = read_header(payload)
        elif kind == BODY:
            self._parts.append(payload)
            self._missing -= len(payload)
        else:
            return False
        if self._missing <= 0:
            self._method = None
            parts = self._parts
            self._deliver(method, self._properties, parts[0] if len(parts) == 1 else b"".join(parts))
        return True


def read_method(payload: bytes) -> Deliver:
    """Decode `basic.deliver`. Raise `IndexError` if it is cut off."""
    tag_at = 5 + payload[4]
    redelivered_at = tag_at + 8
    exchange, routing_key = _two_strings(payload[redelivered_at + 1 :])
    return Deliver(
        int.from_bytes(payload[tag_at:redelivered_at]),
        _string(payload[5:tag_at]),
        payload[redelivered_at] & 1 == 1,
        exchange,
        routing_key,
    )


def read_header(payload: bytes) -> tuple[int, Basic.Properties]:
    """Decode the header of a message: return the size of its body and its properties, as far as they can be decoded.
    Any program may have published the message, so nothing in its properties raises. Raise `struct.error` if the size is
    cut off."""
    size, flags = _BODY_SIZE_AND_FLAGS.unpack_from(payload)
    properties = Basic.Properties()
    try:
        at = _BODY_SIZE_AND_FLAGS.size
        more = flags
        while more & _MORE_FLAGS:  # further flags, of which AMQP 0-9-1 defines none
            more = int.from_bytes(payload[at : at + 2])
            at += 2
        for name, decode in _decoders(flags):
            if decode is None:
                start = at + 1
                at = start + payload[at]
                setattr(properties, name, payload[start:at].decode("utf-8", UNDECODABLE))
            else:
                used, value = decode(payload[at:])
                setattr(properties, name, value)
                at += used
    except Exception as error:
        log.warning("a message has properties that cannot be read: %s: %s", type(error).__name__, error)
    return size, properties


def _octet(data: bytes) -> tuple[int, int]:
    return 1, data[0]


_Decode = Callable[[bytes], tuple[int, object]]
_KINDS: dict[str, _Decode] = {"headers": table, "delivery_mode": _octet, "priority": _octet, "timestamp": time}


@lru_cache(maxsize=256)
def _decoders(flags: int) -> tuple[tuple[str, _Decode | None], ...]:
    """Return the names of the properties that a message has by its flags, and how each is decoded; None: it is a short
    string."""
    return tuple((name, _KINDS.get(name)) for name, flag in Basic.Properties.flags.items() if flags & flag)


@lru_cache(maxsize=256)
def _string(data: bytes) -> str:
    return data.decode(errors=UNDECODABLE)


@lru_cache(maxsize=1024)
def _two_strings(data: bytes) -> tuple[str, str]:
    used, first = short_string(data)
    return first, short_string(data[used:])[1]
