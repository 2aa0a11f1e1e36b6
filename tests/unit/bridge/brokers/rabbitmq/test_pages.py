"""The size of the pages in which a stream is read."""

import pytest
from pamqp.commands import Basic

from bridge.brokers.rabbitmq.connection.address import address
from bridge.brokers.rabbitmq.logs.pages import MOST_PAGE, PAGE_BYTES, StreamPages, next_size
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


@pytest.mark.parametrize("backwards", [True, False], ids=["backwards", "forwards"])
async def test_pages_stay_small_although_their_user_empties_them(
    monkeypatch: pytest.MonkeyPatch, *, backwards: bool
) -> None:
    """The next page's size follows from the messages of this one, and its user takes them out."""
    pages, end, body = StreamPages(address("amqp://localhost/"), "stream"), 100, b"x" * (PAGE_BYTES // 10)
    sizes: list[int] = []

    async def read(_: StreamPages, start: int, last: int) -> list[StreamMessage]:
        return [StreamMessage(number, "", Basic.Properties(), body) for number in range(start, last + 1)]

    async def ended(_: StreamPages) -> int:
        return end

    async def oldest(*_: object) -> int:
        return 0

    monkeypatch.setattr(StreamPages, "_page", read)
    monkeypatch.setattr(StreamPages, "_end", ended)
    monkeypatch.setattr(StreamPages, "_patiently", oldest)

    async for page in pages.backwards() if backwards else pages.forwards(0):
        sizes.append(len(page))
        page.clear()

    assert (sum(sizes), max(sizes)) == (end + 1, 10)
