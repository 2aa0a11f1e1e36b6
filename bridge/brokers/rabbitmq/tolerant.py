"""Lets pamqp read what RabbitMQ lets through: text that is no UTF-8, and times beyond the calendar.

pamqp raises for these, and aiormq then drops the connection: one foreign message would end every consumer that meets
it, and every reading of the ledger after that. AMQP's short strings are octets to RabbitMQ, and its times 64 bits.

And lets aiormq hear why a connection is refused: a virtual host that is not there, or not for this user.
"""

import struct
from datetime import UTC, datetime
from typing import Any

from pamqp import commands, decode

UNDECODABLE = "backslashreplace"
MILLISECONDS_FROM = 0xFFFFFFFF
_REFUSAL = "Connection.Close"


def be_tolerant() -> None:
    """Put them in pamqp's registries. Twice is as good as once."""
    decode.METHODS.update(shortstr=short_string, timestamp=time, table=table)
    decode.TABLE_MAPPING.update({b"T": time, b"F": table})
    if _REFUSAL not in commands.Connection.Open.valid_responses:  # else aiormq raises for the frame, and drops its text
        commands.Connection.Open.valid_responses.append(_REFUSAL)


def short_string(value: bytes) -> tuple[int, str]:
    """Return how many bytes a short string takes, and its text."""
    if not value:
        raise ValueError("a short string without a length")
    end = value[0] + 1
    return end, value[1:end].decode(errors=UNDECODABLE)


def time(value: bytes) -> tuple[int, datetime | None]:
    """Return how many bytes a time takes, and the time; None for one beyond the calendar."""
    seconds = struct.unpack_from(">Q", value)[0]
    try:
        return 8, datetime.fromtimestamp(seconds / 1000 if seconds > MILLISECONDS_FROM else seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return 8, None


def table(value: bytes) -> tuple[int, dict[str, Any]]:
    """Return how many bytes a table takes, and its fields."""
    end = struct.unpack_from(">I", value)[0] + 4
    if end > len(value):
        raise ValueError("a table that goes on beyond its frame")
    offset, fields = 4, {}
    while offset < end:
        used, name = short_string(value[offset:])
        offset += used
        used, fields[name] = decode.embedded_value(value[offset:])
        offset += used
    return end, fields
