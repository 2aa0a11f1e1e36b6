"""The size of the pages in which a stream is read."""

import pytest
from pamqp.commands import Basic

from bridge.brokers.rabbitmq.logs.pages import MOST_PAGE, PAGE_BYTES, next_size
from bridge.brokers.rabbitmq.logs.stream import StreamMessage


@pytest.mark.parametrize(
    ("count", "bytes_each", "size", "expected"),
    [
        (8, 100, 8, 16),
        (8, 0, 8, 16),
        (3, 100, 8, 16),  # a retention has removed the others
        (0, 0, 8, 16),
        (2000, 100, MOST_PAGE, MOST_PAGE),
        (8, PAGE_BYTES // 10, 8, 10),
        (1, 2 * PAGE_BYTES, 8, 1),
    ],
)
def test_pages_grow_until_they_are_many_bytes(count: int, bytes_each: int, size: int, expected: int) -> None:
    """Attaching takes time, so pages grow; but no page has more bytes than a reader should need."""
    page = [StreamMessage(number, "", Basic.Properties(), b"x" * bytes_each) for number in range(count)]

    assert next_size(page, size) == expected
