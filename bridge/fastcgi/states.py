"""The states of a connection, and the table of moves between them. This file reads and writes no bytes.

The rules:
- One request at a time. The reply may begin before the whole body is sent.
- END_REQUEST ends a reply. The end of STDOUT may come before it, or not at all.
- END_REQUEST requires a whole header block before it. A refusal requires that no STDOUT came.
- After an exchange in which both sides sent everything, the state is IDLE again. Every other end leads to OVER.
- A move that is not in the table is illegal: `IllegalMove` for the caller, `ProtocolError` for the application.
"""

from collections.abc import Mapping
from enum import StrEnum

from bridge.fastcgi.errors import IllegalMove, ProtocolError


class ConnectionState(StrEnum):
    """The state of a connection. In a name of two words, the first is about the request, the second about the reply."""

    IDLE = "idle"
    SENDING = "sending"
    """The body is being sent; no whole header block has arrived."""
    SENDING_REPLYING = "sending, replying"
    SENDING_REPLIED = "sending, replied"
    WAITING = "waiting"
    """The request is sent; no whole header block has arrived."""
    REPLYING = "replying"
    """The header block has arrived; STDOUT is open."""
    REPLIED = "replied"
    """STDOUT has ended; END_REQUEST has not arrived yet."""
    OVER = "over"
    """The exchange is over. No more requests may be sent, and the application may only end the stream."""
    ABORTED = "aborted"
    """The caller aborted the request. Further bytes of the application are ignored."""
    BROKEN = "broken"
    """The application broke the protocol. The connection can only be closed."""


class Move(StrEnum):
    """The moves that change a state: first the moves of the caller, then those of the application."""

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

TABLE: Mapping[ConnectionState, Mapping[Move, ConnectionState]] = {
    ConnectionState.IDLE: {
        Move.BEGIN: ConnectionState.SENDING,
        Move.END_OF_STREAM: ConnectionState.OVER,
    },
    ConnectionState.SENDING: {
        Move.BODY: ConnectionState.SENDING,
        Move.END_OF_BODY: ConnectionState.WAITING,
        Move.ABORT: ConnectionState.ABORTED,
        Move.OUTPUT: ConnectionState.SENDING,
        Move.HEAD: ConnectionState.SENDING_REPLYING,
        Move.ERROR_OUTPUT: ConnectionState.SENDING,
        Move.MANAGEMENT: ConnectionState.SENDING,
        Move.REFUSAL: ConnectionState.OVER,
        Move.END_OF_STREAM: ConnectionState.BROKEN,
    },
    ConnectionState.SENDING_REPLYING: {
        Move.BODY: ConnectionState.SENDING_REPLYING,
        Move.END_OF_BODY: ConnectionState.REPLYING,
        Move.ABORT: ConnectionState.ABORTED,
        Move.OUTPUT: ConnectionState.SENDING_REPLYING,
        Move.END_OF_OUTPUT: ConnectionState.SENDING_REPLIED,
        Move.ERROR_OUTPUT: ConnectionState.SENDING_REPLYING,
        Move.MANAGEMENT: ConnectionState.SENDING_REPLYING,
        Move.END: ConnectionState.OVER,
        Move.LAST_END: ConnectionState.OVER,
        Move.END_OF_STREAM: ConnectionState.BROKEN,
    },
    ConnectionState.SENDING_REPLIED: {
        Move.BODY: ConnectionState.SENDING_REPLIED,
        Move.END_OF_BODY: ConnectionState.REPLIED,
        Move.ABORT: ConnectionState.ABORTED,
        Move.ERROR_OUTPUT: ConnectionState.SENDING_REPLIED,
        Move.MANAGEMENT: ConnectionState.SENDING_REPLIED,
        Move.END: ConnectionState.OVER,
        Move.LAST_END: ConnectionState.OVER,
        Move.END_OF_STREAM: ConnectionState.BROKEN,
    },
    ConnectionState.WAITING: {
        Move.ABORT: ConnectionState.ABORTED,
        Move.OUTPUT: ConnectionState.WAITING,
        Move.HEAD: ConnectionState.REPLYING,
        Move.ERROR_OUTPUT: ConnectionState.WAITING,
        Move.MANAGEMENT: ConnectionState.WAITING,
        Move.REFUSAL: ConnectionState.OVER,
        Move.END_OF_STREAM: ConnectionState.BROKEN,
    },
    ConnectionState.REPLYING: {
        Move.ABORT: ConnectionState.ABORTED,
        Move.OUTPUT: ConnectionState.REPLYING,
        Move.END_OF_OUTPUT: ConnectionState.REPLIED,
        Move.ERROR_OUTPUT: ConnectionState.REPLYING,
        Move.MANAGEMENT: ConnectionState.REPLYING,
        Move.END: ConnectionState.IDLE,
        Move.LAST_END: ConnectionState.OVER,
        Move.END_OF_STREAM: ConnectionState.BROKEN,
    },
    ConnectionState.REPLIED: {
        Move.ABORT: ConnectionState.ABORTED,
        Move.ERROR_OUTPUT: ConnectionState.REPLIED,
        Move.MANAGEMENT: ConnectionState.REPLIED,
        Move.END: ConnectionState.IDLE,
        Move.LAST_END: ConnectionState.OVER,
        Move.END_OF_STREAM: ConnectionState.BROKEN,
    },
    ConnectionState.OVER: {
        Move.END_OF_STREAM: ConnectionState.OVER,
    },
    ConnectionState.ABORTED: {
        Move.END_OF_STREAM: ConnectionState.OVER,
    },
    ConnectionState.BROKEN: {},
}

IN_FLIGHT = frozenset(state for state, moves in TABLE.items() if Move.ABORT in moves)
"""The states in which a request is in flight: its reply has not ended."""


def advance(state: ConnectionState, move: Move) -> ConnectionState:
    """Return the state after `move`. Raise `IllegalMove` or `ProtocolError`, which names the state and the move, if the
    table does not have it."""
    after = TABLE[state].get(move)
    if after is None:
        error = IllegalMove if move in CALLERS_MOVES else ProtocolError
        expected = ", ".join(TABLE[state]) or "the connection to be closed"
        raise error(f"{move} in state {state.value!r}: expected {expected}")
    return after
