"""The child's end of its start tokens."""

import socket
from collections.abc import Iterator

import pytest

from app_adapter.start_tokens import StartTokens
from bridge.child_protocol import StartToken, output_mark, write_tokens

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Yield the worker's end and the child's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def refuse(sock: socket.socket) -> None:
    """Stand for a wait that is not expected."""
    raise AssertionError("it waits")


def test_a_request_begins_with_its_token_alone(ends: Ends) -> None:
    """Requests before the one that the token names have none any more."""
    ours, theirs = ends
    tokens = StartTokens(theirs, lambda data: None)
    ours.send(write_tokens([StartToken(1, False), StartToken(4, False)]))
    assert [tokens.permit(number, refuse) for number in (1, 2, 3, 4)] == [True, False, False, True]


def test_a_child_waits_for_its_next_token(ends: Ends) -> None:
    """Also if the token that it has waited for was taken back in between."""
    ours, theirs = ends
    tokens = StartTokens(theirs, lambda data: None)
    waits: list[int] = []

    def wait(sock: socket.socket) -> None:
        assert sock is theirs
        waits.append(len(waits))
        if len(waits) == 2:
            ours.send(write_tokens([StartToken(7, False)]))

    assert tokens.permit(7, wait)
    assert waits == [0, 1]


def test_a_mark_comes_before_what_the_request_prints(ends: Ends) -> None:
    """Only for a token that asks for it."""
    ours, theirs = ends
    written: list[bytes] = []
    tokens = StartTokens(theirs, written.append)
    ours.send(write_tokens([StartToken(1, False), StartToken(65_535, True)]))
    assert tokens.permit(1, refuse)
    assert written == []
    assert tokens.permit(65_535, refuse)
    assert written == [output_mark(65_535)]


@pytest.mark.parametrize("by_the_child", [True, False])
def test_no_token_comes_after_the_end(ends: Ends, by_the_child: bool) -> None:
    """At SIGTERM, and if the worker has ended. The tokens that have come before stay."""
    ours, theirs = ends
    tokens = StartTokens(theirs, lambda data: None)
    ours.send(write_tokens([StartToken(1, False)]))
    if by_the_child:
        tokens.end()
        with pytest.raises(BrokenPipeError):
            ours.send(write_tokens([StartToken(2, False)]))
    else:
        ours.close()
    assert tokens.permit(1, refuse)
    with pytest.raises(EOFError):
        tokens.permit(2, refuse)
