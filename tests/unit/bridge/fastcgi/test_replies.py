"""The header block of a reply, and its body and error output with their announced lengths and limits."""

import pytest

from bridge.fastcgi import ErrorOutput, Limits, ProtocolError, ReplyBody, ReplyEnd, ReplyEvent, ReplyHead
from bridge.fastcgi.replies import ReplyReader


def reader(*, bodiless: bool = False, header: int = 1000, body: int = 1000, error_output: int = 1000) -> ReplyReader:
    return ReplyReader(Limits(header, body, error_output), bodiless=bodiless)


def read(output: bytes) -> list[ReplyEvent]:
    return reader().output(output)


HEADS = {
    "LF": (b"Status: 404 Not Found\nA: b\n\n", 404, "Not Found", (("A", "b"),)),
    "CRLF": (b"Status: 404 Not Found\r\nA: b\r\n\r\n", 404, "Not Found", (("A", "b"),)),
    "LF and CRLF mixed": (b"Status: 404 Not Found\r\nA: b\n\r\n", 404, "Not Found", (("A", "b"),)),
    "CRLF before a lone LF": (b"Status: 404 Not Found\nA: b\r\n\n", 404, "Not Found", (("A", "b"),)),
    "no Status": (b"A: b\n\n", 200, "", (("A", "b"),)),
    "Status alone": (b"Status: 204\n\n", 204, "", ()),
    "Status in any case": (b"sTATUS: 204\n\n", 204, "", ()),
    "a reason of several words": (b"Status: 200 All  is well\n\n", 200, "All  is well", ()),
    "Location alone": (b"Location: /x\n\n", 302, "", (("Location", "/x"),)),
    "Location with a Status": (b"Location: /x\nStatus: 201\n\n", 201, "", (("Location", "/x"),)),
    "white space around a value": (b"A: \t b c\t \n\n", 200, "", (("A", "b c"),)),
    "an empty value": (b"A:\nB: \n\n", 200, "", (("A", ""), ("B", ""))),
    "a colon in a value": (b"A: b:c\n\n", 200, "", (("A", "b:c"),)),
    "a name that comes twice": (b"A: 1\nA: 2\n\n", 200, "", (("A", "1"), ("A", "2"))),
    "bytes beyond ASCII": (b"A: \xe9\x85\n\n", 200, "", (("A", "\xe9\x85"),)),
    "all characters of a name": (b"!#$%&'*+-.^_`|~09azAZ: x\n\n", 200, "", (("!#$%&'*+-.^_`|~09azAZ", "x"),)),
}


@pytest.mark.parametrize(("block", "status", "reason", "headers"), HEADS.values(), ids=HEADS)
def test_heads(block: bytes, status: int, reason: str, headers: tuple[tuple[str, str], ...]) -> None:
    """A header block is read by the rules of RFC 3875."""
    assert read(block) == [ReplyHead(status, reason, headers)]


@pytest.mark.parametrize("block", [block for block, *_ in HEADS.values()], ids=HEADS)
def test_heads_split_anywhere(block: bytes) -> None:
    """A header block that is split anywhere gives the same head and the same body."""
    whole = read(block + b"body")
    for at in range(1, len(block)):
        parts = reader()
        assert parts.output(block[:at]) == []
        assert parts.output(block[at:] + b"body") == whole


BAD_BLOCKS = {
    "no colon": (b"Hello\n\n", "expected a name, a colon"),
    "an HTTP status line": (b"HTTP/1.1 200 OK\n\n", "expected a name, a colon"),
    "an empty name": (b": x\n\n", "expected a name, a colon"),
    "a space before the colon": (b"A : x\n\n", "expected a name, a colon"),
    "a name beyond ASCII": (b"\xc4: x\n\n", "expected a name, a colon"),
    "a name with parentheses": (b"A(b): x\n\n", "expected a name, a colon"),
    "obs-fold": (b"A: x\n y\n\n", "expected a name, a colon"),
    "obs-fold with a colon": (b"A: x\n\ty: z\n\n", "expected a name, a colon"),
    "white space at the beginning": (b" A: x\n\n", "expected a name, a colon"),
    "an empty block": (b"\n\n", "expected a name, a colon"),
    "an empty block with CRLF": (b"\r\n\r\n", "expected a name, a colon"),
    "an empty first line": (b"\nA: x\n\n", "expected a name, a colon"),
    "a NUL": (b"A: x\0y\n\n", "a bare CR or a NUL"),
    "a bare CR": (b"A: x\ry\n\n", "a bare CR or a NUL"),
    "CR CR LF": (b"A: x\r\r\n\n", "a bare CR or a NUL"),
    "a second Status": (b"Status: 200\nstatus: 200\n\n", "a second Status"),
    "a second Content-Length": (b"Content-Length: 1\ncontent-length: 1\n\n", "a second Content-Length"),
    "a Status of two digits": (b"Status: 20\n\n", "expected three digits"),
    "a Status of four digits": (b"Status: 2000\n\n", "expected three digits"),
    "a Status that begins with 0": (b"Status: 020\n\n", "expected three digits"),
    "a Status of letters": (b"Status: OK\n\n", "expected three digits"),
    "an empty Status": (b"Status:\n\n", "expected three digits"),
    "a Status with its reason attached": (b"Status: 200OK\n\n", "expected three digits"),
    "a Status that is a version": (b"Status: HTTP/1.1 200\n\n", "expected three digits"),
    "an empty Content-Length": (b"Content-Length:\n\n", "expected a number of bytes"),
    "a negative Content-Length": (b"Content-Length: -1\n\n", "expected a number of bytes"),
    "a signed Content-Length": (b"Content-Length: +1\n\n", "expected a number of bytes"),
    "a list of Content-Lengths": (b"Content-Length: 1, 1\n\n", "expected a number of bytes"),
    "a Content-Length in other digits": (b"Content-Length: \xb2\n\n", "expected a number of bytes"),
    "a Content-Length of 5,000 digits": (b"Content-Length: " + b"1" * 5000 + b"\n\n", "expected a number of bytes"),
}


@pytest.mark.parametrize(("block", "why"), BAD_BLOCKS.values(), ids=BAD_BLOCKS)
def test_bad_heads(block: bytes, why: str) -> None:
    """An invalid or ambiguous header block is rejected, and the error says why."""
    with pytest.raises(ProtocolError, match=why):
        reader(header=10_000).output(block)


def test_body_after_the_block() -> None:
    """The bytes after the header block in its record, including blank lines, and in later records are the body."""
    parts = reader()
    assert parts.output(b"A: b\n\n\n\nx") == [ReplyHead(200, "", (("A", "b"),)), ReplyBody(b"\n\nx")]
    assert parts.output(b"\0\r") == [ReplyBody(b"\0\r")]
    assert parts.end(3) == ReplyEnd(3, overlong=False)


def test_body_of_its_announced_length() -> None:
    """A body that is as long as its Content-Length is accepted."""
    parts = reader()
    parts.output(b"Content-Length: 3\n\na")
    parts.output(b"bc")
    assert parts.end(0) == ReplyEnd(0, overlong=False)


@pytest.mark.parametrize("status", [b"", b"Status: 500\n"])
def test_short_body(status: bytes) -> None:
    """A body that is shorter than its Content-Length is an error."""
    parts = reader()
    parts.output(status + b"Content-Length: 3\n\nab")
    with pytest.raises(ProtocolError, match="a body of 2 bytes: expected Content-Length 3"):
        parts.end(0)


def test_overlong_body_is_cut() -> None:
    """A body is cut at its Content-Length, within a record and in later records, and flagged as overlong."""
    parts = reader()
    assert parts.output(b"Content-Length: 3\n\nab")[1:] == [ReplyBody(b"ab")]
    assert parts.output(b"cd") == [ReplyBody(b"c")]
    assert parts.output(b"ef") == []
    assert parts.end(0) == ReplyEnd(0, overlong=True)


def test_no_body_is_announced_for_head_and_304() -> None:
    """A reply to HEAD and a 304 reply may have a Content-Length and no body."""
    to_head, not_modified = reader(bodiless=True), reader()
    to_head.output(b"Content-Length: 3\n\n")
    not_modified.output(b"Status: 304\nContent-Length: 3\n\n")
    assert to_head.end(0) == not_modified.end(0) == ReplyEnd(0, overlong=False)


def test_header_limit() -> None:
    """A header block may be as long as its limit, including the blank line, but not longer."""
    block = b"A: " + b"b" * 10 + b"\n\n"
    assert len(reader(header=len(block)).output(block + b"body")) == 2
    for late in (block, block[:-1] + b"c" * 9):
        with pytest.raises(ProtocolError, match="a header block of more than 14 bytes"):
            reader(header=len(block) - 1).output(late)


def test_body_limit() -> None:
    """A body may be as long as its limit but not longer, and the bytes that are cut off count."""
    parts = reader(body=5)
    parts.output(b"Content-Length: 1\n\nabcde")
    with pytest.raises(ProtocolError, match="a body of more than 5 bytes"):
        parts.output(b"f")


def test_announced_body_beyond_the_limit() -> None:
    """A Content-Length above the limit is rejected before the body arrives."""
    with pytest.raises(ProtocolError, match="Content-Length 6: expected at most 5"):
        reader(body=5).output(b"Content-Length: 6\n\n")


def test_error_output_limit() -> None:
    """Error output may be as long as its limit but not longer."""
    parts = reader(error_output=5)
    assert parts.error_output(b"abcde") == ErrorOutput(b"abcde")
    with pytest.raises(ProtocolError, match="error output of more than 5 bytes"):
        parts.error_output(b"f")
