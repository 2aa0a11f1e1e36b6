"""Excerpts: both ends of a stream, in bounded memory."""

from worker.slots.transcript import Excerpt


def test_a_short_stream_is_kept_whole() -> None:
    """No byte is missing."""
    excerpt = Excerpt(10)
    excerpt.add(b"abc")
    excerpt.add(b"defghij")
    assert excerpt.bytes() == b"abcdefghij"


def test_a_long_stream_keeps_its_ends_and_says_what_is_missing() -> None:
    """The excerpt is the same if the stream is added in one piece or byte by byte."""
    whole, pieces = Excerpt(10), Excerpt(10)
    data = bytes(range(65, 91))
    whole.add(data)
    for byte in data:
        pieces.add(bytes([byte]))
    assert whole.bytes() == pieces.bytes() == "ABCDE\n… 16 bytes cut …\nVWXYZ".encode()
