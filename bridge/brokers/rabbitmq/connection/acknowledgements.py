"""Encodes acknowledgements as AMQP frames. Pure."""

import struct

from pamqp.commands import Basic

from bridge.brokers.rabbitmq.connection.delivery_stream import END, METHOD

_BASIC, _ACK, _NACK = 60, 80, 120
_MULTIPLE, _REQUEUE = 1, 2
_FRAME = struct.Struct(">BHIHHQBB")
_SIZE = struct.calcsize(">HHQB")


def encode_acknowledgement(channel: int, frame: Basic.Ack | Basic.Nack) -> bytes:
    """Return the frame for this channel."""
    if isinstance(frame, Basic.Ack):
        method, bits = _ACK, _MULTIPLE * bool(frame.multiple)
    else:
        method, bits = _NACK, _MULTIPLE * bool(frame.multiple) | _REQUEUE * bool(frame.requeue)
    return _FRAME.pack(METHOD, channel, _SIZE, _BASIC, method, frame.delivery_tag or 0, bits, END)
