"""The states of a connection, and the one table of the moves between them. No bytes are read or written here.

The rules:
- One request at a time. Reply and request go on side by side: an application may answer before it has the whole body.
- A reply is over with END_REQUEST. An end of STDOUT may come before it, or never.
- END_REQUEST needs a whole header block before it; a refusal may only come instead of one.
- Only an exchange in which both sides said everything leads back to IDLE; every other end leads to OVER.
- What is not in the table is illegal: `IllegalMove` if we did it, `ProtocolError` if the application did.
"""

from collections.abc import Mapping
from enum import StrEnum

from bridge.fastcgi.errors import IllegalMove, ProtocolError


class State(StrEnum):
    """Where a connection stands. The first word tells of the request while its body is open, the last of the reply."""

    IDLE = "idle"
    SENDING = "sending"
    """The body is open; no whole header block has come."""
    SENDING_REPLYING = "sending, replying"
    SENDING_REPLIED = "sending, replied"
    WAITING = "waiting"
    """The request is sent; no whole header block has come."""
    REPLYING = "replying"
    """The header block has come; STDOUT is open."""
    REPLIED = "replied"
    """STDOUT has ended; END_REQUEST is to come."""
    OVER = "over"
    """Nothing more may be sent. The application may only end the stream."""
    ABORTED = "aborted"
    """We gave the request up: what still comes is passed over."""
    BROKEN = "broken"
    """The application broke the protocol. The connection can only be dropped."""


class Move(StrEnum):
    """What changes a state: the caller's moves first, then the application's."""

    BEGIN = "begin request"
    BODY = "body"
    END_OF_BODY = "end of body"
    ABORT = "abort"
    OUTPUT = "STDOUT"
    HEAD = "whole header block"
    END_OF_OUTPUT = "end of STDOUT"
    ERROR_OUTPUT = "STDERR"
    MANAGEMENT = "management record"
    END = "END_REQUEST"
    LAST_END = "END_REQUEST without reuse"
    REFUSAL = "refusal"
    END_OF_STREAM = "end of stream"


CALLERS_MOVES = frozenset({Move.BEGIN, Move.BODY, Move.END_OF_BODY, Move.ABORT})

TABLE: Mapping[State, Mapping[Move, State]] = {
    State.IDLE: {
        Move.BEGIN: State.SENDING,
        Move.END_OF_STREAM: State.OVER,
    },
    State.SENDING: {
        Move.BODY: State.SENDING,
        Move.END_OF_BODY: State.WAITING,
        Move.ABORT: State.ABORTED,
        Move.OUTPUT: State.SENDING,
        Move.HEAD: State.SENDING_REPLYING,
        Move.ERROR_OUTPUT: State.SENDING,
        Move.MANAGEMENT: State.SENDING,
        Move.REFUSAL: State.OVER,
        Move.END_OF_STREAM: State.BROKEN,
    },
    State.SENDING_REPLYING: {
        Move.BODY: State.SENDING_REPLYING,
        Move.END_OF_BODY: State.REPLYING,
        Move.ABORT: State.ABORTED,
        Move.OUTPUT: State.SENDING_REPLYING,
        Move.END_OF_OUTPUT: State.SENDING_REPLIED,
        Move.ERROR_OUTPUT: State.SENDING_REPLYING,
        Move.MANAGEMENT: State.SENDING_REPLYING,
        Move.END: State.OVER,
        Move.LAST_END: State.OVER,
        Move.END_OF_STREAM: State.BROKEN,
    },
    State.SENDING_REPLIED: {
        Move.BODY: State.SENDING_REPLIED,
        Move.END_OF_BODY: State.REPLIED,
        Move.ABORT: State.ABORTED,
        Move.ERROR_OUTPUT: State.SENDING_REPLIED,
        Move.MANAGEMENT: State.SENDING_REPLIED,
        Move.END: State.OVER,
        Move.LAST_END: State.OVER,
        Move.END_OF_STREAM: State.BROKEN,
    },
    State.WAITING: {
        Move.ABORT: State.ABORTED,
        Move.OUTPUT: State.WAITING,
        Move.HEAD: State.REPLYING,
        Move.ERROR_OUTPUT: State.WAITING,
        Move.MANAGEMENT: State.WAITING,
        Move.REFUSAL: State.OVER,
        Move.END_OF_STREAM: State.BROKEN,
    },
    State.REPLYING: {
        Move.ABORT: State.ABORTED,
        Move.OUTPUT: State.REPLYING,
        Move.END_OF_OUTPUT: State.REPLIED,
        Move.ERROR_OUTPUT: State.REPLYING,
        Move.MANAGEMENT: State.REPLYING,
        Move.END: State.IDLE,
        Move.LAST_END: State.OVER,
        Move.END_OF_STREAM: State.BROKEN,
    },
    State.REPLIED: {
        Move.ABORT: State.ABORTED,
        Move.ERROR_OUTPUT: State.REPLIED,
        Move.MANAGEMENT: State.REPLIED,
        Move.END: State.IDLE,
        Move.LAST_END: State.OVER,
        Move.END_OF_STREAM: State.BROKEN,
    },
    State.OVER: {
        Move.END_OF_STREAM: State.OVER,
    },
    State.ABORTED: {
        Move.END_OF_STREAM: State.OVER,
    },
    State.BROKEN: {},
}

IN_FLIGHT = frozenset(state for state, moves in TABLE.items() if Move.ABORT in moves)
"""The states in which a request waits for the rest of its reply."""


def advance(state: State, move: Move) -> State:
    """Return the state that `move` leads to. Raise `IllegalMove` or `ProtocolError`, naming both, where none does."""
    after = TABLE[state].get(move)
    if after is None:
        error = IllegalMove if move in CALLERS_MOVES else ProtocolError
        expected = ", ".join(TABLE[state]) or "nothing but to be dropped"
        raise error(f"{move} in state {state.value!r}: expected {expected}")
    return after
