"""The frames of a publish are those that pamqp writes."""

from datetime import UTC, datetime

import pamqp.frame
import pytest
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from bridge.brokers.rabbitmq.publishing.frames import FRAME_OVERHEAD, Properties, publish_frames

FRAME_MAX = 4096
NOW = datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC)

PROPERTIES = [
    Properties(2),
    Properties(
        2,
        "application/json",
        {"bridge-due": "x" * 3000, "bridge-envelope": '{"id": "ü"}'},
        time=NOW,
        type="konto.eröffnet",
    ),
    Properties(1, type="konto"),
]


def by_pamqp(properties: Properties, body: bytes) -> bytes:
    """Return the same publish, written by pamqp, which sorts the headers."""
    header = Basic.Properties(
        content_type=properties.content_type,
        headers=dict(properties.headers) if properties.headers else None,
        delivery_mode=properties.delivery_mode,
        message_id="the-id",
        timestamp=properties.time,
        message_type=properties.type,
    )
    most = FRAME_MAX - FRAME_OVERHEAD
    frames: list[Basic.Publish | ContentHeader | ContentBody] = [
        Basic.Publish(exchange="bridge.events", routing_key="konto.eröffnet", mandatory=True),
        ContentHeader(0, len(body), header),
        *(ContentBody(body[start : start + most]) for start in range(0, len(body), most)),
    ]
    return b"".join(pamqp.frame.marshal(frame, 3) for frame in frames)


@pytest.mark.parametrize("properties", PROPERTIES)
@pytest.mark.parametrize("size", [0, 1, FRAME_MAX - FRAME_OVERHEAD, FRAME_MAX - FRAME_OVERHEAD + 1, 10_000])
def test_a_publish_is_written_as_pamqp_writes_it(properties: Properties, size: int) -> None:
    """With every property, and with a body of no, one or several frames."""
    body = bytes(range(256)) * 40

    written = publish_frames(3, "bridge.events", "konto.eröffnet", properties, "the-id", body[:size], FRAME_MAX)

    assert written == by_pamqp(properties, body[:size])
