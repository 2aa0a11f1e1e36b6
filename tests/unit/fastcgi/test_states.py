"""Every state with every record and every call: where it leads, or that it is refused, naming the state."""

from collections.abc import Callable

import pytest

from bridge.fastcgi import Connection, EndedEarly, IllegalMove, ProtocolError, State
from tests.unit.fastcgi.application import (
    ABORT,
    BEGIN,
    CANT_MPX_CONN,
    COMPLETE,
    GET_VALUES_RESULT,
    HEAD,
    OVERLOADED,
    PARAMS,
    STDERR,
    STDIN,
    STDOUT,
    UNKNOWN_ROLE,
    UNKNOWN_TYPE,
    end,
    record,
)

PARAMETERS = {"CONTENT_LENGTH": "4"}


def begun(*, keep_connection: bool = True) -> Connection:
    connection = Connection()
    connection.begin_request(PARAMETERS, keep_connection=keep_connection)
    connection.body(b"ab")
    return connection


def sent(*, keep_connection: bool = True) -> Connection:
    connection = begun(keep_connection=keep_connection)
    connection.body(b"cd")
    connection.end_of_body()
    return connection


def then(connection: Connection, *data: bytes) -> Connection:
    for piece in data:
        connection.receive(piece)
    return connection


def aborted() -> Connection:
    connection = sent()
    connection.abort()
    return connection


def broken() -> Connection:
    connection = sent()
    with pytest.raises(ProtocolError):
        connection.receive(b"HTTP/1.1 200 OK")
    return connection


IN_STATE: dict[State, Callable[[], Connection]] = {
    State.IDLE: Connection,
    State.SENDING: begun,
    State.SENDING_REPLYING: lambda: then(begun(), record(STDOUT, HEAD)),
    State.SENDING_REPLIED: lambda: then(begun(), record(STDOUT, HEAD), record(STDOUT)),
    State.WAITING: sent,
    State.REPLYING: lambda: then(sent(), record(STDOUT, HEAD)),
    State.REPLIED: lambda: then(sent(), record(STDOUT, HEAD), record(STDOUT)),
    State.OVER: lambda: then(sent(keep_connection=False), record(STDOUT, HEAD), end()),
    State.ABORTED: aborted,
    State.BROKEN: broken,
}

RECORDS = {
    "STDOUT of a whole header block": record(STDOUT, HEAD),
    "STDOUT of a part of one": record(STDOUT, HEAD[:-3]),
    "end of STDOUT": record(STDOUT),
    "STDERR": record(STDERR, b"oops"),
    "end of STDERR": record(STDERR),
    "END complete": end(COMPLETE),
    "END cannot multiplex": end(CANT_MPX_CONN),
    "END overloaded": end(OVERLOADED),
    "END unknown role": end(UNKNOWN_ROLE),
    "GET_VALUES_RESULT": record(GET_VALUES_RESULT, request_id=0),
    "UNKNOWN_TYPE": record(UNKNOWN_TYPE, bytes(8), request_id=0),
    "STDOUT of another request": record(STDOUT, HEAD, request_id=2),
    "BEGIN": record(BEGIN, bytes(8)),
    "ABORT": record(ABORT),
    "PARAMS": record(PARAMS),
    "STDIN": record(STDIN),
    "half a record": record(STDERR, b"oops")[:6],
    "end of stream": b"",
}

NO_RECORD = dict.fromkeys(RECORDS, State.BROKEN)
REFUSALS = dict.fromkeys(["END cannot multiplex", "END overloaded", "END unknown role"], State.OVER)


def staying(state: State) -> dict[str, State]:
    """What is passed on or over in any state that awaits a reply."""
    kept = ["STDERR", "end of STDERR", "GET_VALUES_RESULT", "UNKNOWN_TYPE", "half a record"]
    return dict.fromkeys(kept, state)


def headless(state: State, after: State) -> dict[str, State]:
    begins = {"STDOUT of a whole header block": after, "STDOUT of a part of one": state}
    return NO_RECORD | staying(state) | REFUSALS | begins


def replying(state: State, replied: State, ended: State) -> dict[str, State]:
    body = {"STDOUT of a whole header block": state, "STDOUT of a part of one": state}
    return NO_RECORD | staying(state) | body | {"end of STDOUT": replied, "END complete": ended}


EXPECTED: dict[State, dict[str, State]] = {
    State.IDLE: NO_RECORD | {"end of stream": State.OVER},
    State.SENDING: headless(State.SENDING, State.SENDING_REPLYING),
    State.SENDING_REPLYING: replying(State.SENDING_REPLYING, State.SENDING_REPLIED, State.OVER),
    State.SENDING_REPLIED: NO_RECORD | staying(State.SENDING_REPLIED) | {"END complete": State.OVER},
    State.WAITING: headless(State.WAITING, State.REPLYING),
    State.REPLYING: replying(State.REPLYING, State.REPLIED, State.IDLE),
    State.REPLIED: NO_RECORD | staying(State.REPLIED) | {"END complete": State.IDLE},
    State.OVER: NO_RECORD | {"end of stream": State.OVER},
    State.ABORTED: dict.fromkeys(RECORDS, State.ABORTED) | {"end of stream": State.OVER},
    State.BROKEN: NO_RECORD,
}


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("state", State)
def test_every_state_with_every_record(state: State, name: str) -> None:
    """A record leads where the table says, or breaks the connection with an error that says what was expected."""
    connection = IN_STATE[state]()
    assert connection.state is state
    expected = EXPECTED[state][name]
    if expected is State.BROKEN:
        with pytest.raises(ProtocolError, match="expected"):
            connection.receive(RECORDS[name])
    else:
        connection.receive(RECORDS[name])
    assert connection.state is expected


CALLS: dict[str, Callable[[Connection], bytes]] = {
    "begin request": lambda connection: connection.begin_request(PARAMETERS, keep_connection=True),
    "body": lambda connection: connection.body(b"c"),
    "end of body": lambda connection: (connection.body(b"cd"), connection.end_of_body())[1],
    "abort": Connection.abort,
}

ALLOWED: dict[State, dict[str, State]] = {
    State.IDLE: {"begin request": State.SENDING},
    State.SENDING: {"body": State.SENDING, "end of body": State.WAITING, "abort": State.ABORTED},
    State.SENDING_REPLYING: {
        "body": State.SENDING_REPLYING,
        "end of body": State.REPLYING,
        "abort": State.ABORTED,
    },
    State.SENDING_REPLIED: {"body": State.SENDING_REPLIED, "end of body": State.REPLIED, "abort": State.ABORTED},
    State.WAITING: {"abort": State.ABORTED},
    State.REPLYING: {"abort": State.ABORTED},
    State.REPLIED: {"abort": State.ABORTED},
    State.OVER: {},
    State.ABORTED: {},
    State.BROKEN: {},
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("state", State)
def test_every_state_with_every_call(state: State, call: str) -> None:
    """A call leads where the table says, or raises, naming the state, and changes nothing."""
    connection = IN_STATE[state]()
    expected = ALLOWED[state].get(call)
    if expected is None:
        with pytest.raises(IllegalMove, match=f"in state '{state.value}': expected"):
            CALLS[call](connection)
        assert connection.state is state
    else:
        CALLS[call](connection)
        assert connection.state is expected


def test_end_of_body_is_illegal_by_itself() -> None:
    """The error names the move that was asked for."""
    with pytest.raises(IllegalMove, match="end of body in state 'idle': expected begin request, end of stream"):
        Connection().end_of_body()


@pytest.mark.parametrize("state", [state for state in State if EXPECTED[state]["end of stream"] is State.BROKEN])
def test_end_of_stream_in_flight_has_its_own_error(state: State) -> None:
    """A stream that ends before the reply does is `EndedEarly`; only a broken connection is past that."""
    connection = IN_STATE[state]()
    with pytest.raises(ProtocolError) as raised:
        connection.receive(b"")
    assert isinstance(raised.value, EndedEarly) is (state is not State.BROKEN)


@pytest.mark.parametrize("state", State)
def test_no_state_is_reusable_before_a_reply(state: State) -> None:
    """None of these connections has a whole reply behind it that was kept."""
    assert IN_STATE[state]().reusable is False
