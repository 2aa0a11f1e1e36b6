"""Every state with every record and every call: the expected next state, or an error that names the state."""

from collections.abc import Callable

import pytest

from bridge.fastcgi import Connection, ConnectionState, EndedEarly, IllegalMove, ProtocolError
from tests.unit.bridge.fastcgi.application import (
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


IN_STATE: dict[ConnectionState, Callable[[], Connection]] = {
    ConnectionState.IDLE: Connection,
    ConnectionState.SENDING: begun,
    ConnectionState.SENDING_REPLYING: lambda: then(begun(), record(STDOUT, HEAD)),
    ConnectionState.SENDING_REPLIED: lambda: then(begun(), record(STDOUT, HEAD), record(STDOUT)),
    ConnectionState.WAITING: sent,
    ConnectionState.REPLYING: lambda: then(sent(), record(STDOUT, HEAD)),
    ConnectionState.REPLIED: lambda: then(sent(), record(STDOUT, HEAD), record(STDOUT)),
    ConnectionState.OVER: lambda: then(sent(keep_connection=False), record(STDOUT, HEAD), end()),
    ConnectionState.ABORTED: aborted,
    ConnectionState.BROKEN: broken,
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

NO_RECORD = dict.fromkeys(RECORDS, ConnectionState.BROKEN)
REFUSALS = dict.fromkeys(["END cannot multiplex", "END overloaded", "END unknown role"], ConnectionState.OVER)


def staying(state: ConnectionState) -> dict[str, ConnectionState]:
    """Return the data that changes no state in which a request is in flight."""
    unchanging = ["STDERR", "end of STDERR", "GET_VALUES_RESULT", "UNKNOWN_TYPE", "half a record"]
    return dict.fromkeys(unchanging, state)


def headless(state: ConnectionState, after: ConnectionState) -> dict[str, ConnectionState]:
    begins = {"STDOUT of a whole header block": after, "STDOUT of a part of one": state}
    return NO_RECORD | staying(state) | REFUSALS | begins


def replying(state: ConnectionState, replied: ConnectionState, ended: ConnectionState) -> dict[str, ConnectionState]:
    body = {"STDOUT of a whole header block": state, "STDOUT of a part of one": state}
    return NO_RECORD | staying(state) | body | {"end of STDOUT": replied, "END complete": ended}


EXPECTED: dict[ConnectionState, dict[str, ConnectionState]] = {
    ConnectionState.IDLE: NO_RECORD | {"end of stream": ConnectionState.OVER},
    ConnectionState.SENDING: headless(ConnectionState.SENDING, ConnectionState.SENDING_REPLYING),
    ConnectionState.SENDING_REPLYING: replying(
        ConnectionState.SENDING_REPLYING, ConnectionState.SENDING_REPLIED, ConnectionState.OVER
    ),
    ConnectionState.SENDING_REPLIED: NO_RECORD
    | staying(ConnectionState.SENDING_REPLIED)
    | {"END complete": ConnectionState.OVER},
    ConnectionState.WAITING: headless(ConnectionState.WAITING, ConnectionState.REPLYING),
    ConnectionState.REPLYING: replying(ConnectionState.REPLYING, ConnectionState.REPLIED, ConnectionState.IDLE),
    ConnectionState.REPLIED: NO_RECORD | staying(ConnectionState.REPLIED) | {"END complete": ConnectionState.IDLE},
    ConnectionState.OVER: NO_RECORD | {"end of stream": ConnectionState.OVER},
    ConnectionState.ABORTED: dict.fromkeys(RECORDS, ConnectionState.ABORTED) | {"end of stream": ConnectionState.OVER},
    ConnectionState.BROKEN: NO_RECORD,
}


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("state", ConnectionState)
def test_every_state_with_every_record(state: ConnectionState, name: str) -> None:
    """A record leads to the state in the table, or breaks the connection with an error that says what was expected."""
    connection = IN_STATE[state]()
    assert connection.state is state
    expected = EXPECTED[state][name]
    if expected is ConnectionState.BROKEN:
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

ALLOWED: dict[ConnectionState, dict[str, ConnectionState]] = {
    ConnectionState.IDLE: {"begin request": ConnectionState.SENDING},
    ConnectionState.SENDING: {
        "body": ConnectionState.SENDING,
        "end of body": ConnectionState.WAITING,
        "abort": ConnectionState.ABORTED,
    },
    ConnectionState.SENDING_REPLYING: {
        "body": ConnectionState.SENDING_REPLYING,
        "end of body": ConnectionState.REPLYING,
        "abort": ConnectionState.ABORTED,
    },
    ConnectionState.SENDING_REPLIED: {
        "body": ConnectionState.SENDING_REPLIED,
        "end of body": ConnectionState.REPLIED,
        "abort": ConnectionState.ABORTED,
    },
    ConnectionState.WAITING: {"abort": ConnectionState.ABORTED},
    ConnectionState.REPLYING: {"abort": ConnectionState.ABORTED},
    ConnectionState.REPLIED: {"abort": ConnectionState.ABORTED},
    ConnectionState.OVER: {},
    ConnectionState.ABORTED: {},
    ConnectionState.BROKEN: {},
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("state", ConnectionState)
def test_every_state_with_every_call(state: ConnectionState, call: str) -> None:
    """A call leads to the state in the table, or raises an error that names the state, and changes nothing."""
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
    """The error names the illegal move, the state and the legal moves."""
    with pytest.raises(IllegalMove, match="end of body in state 'idle': expected begin request, end of stream"):
        Connection().end_of_body()


@pytest.mark.parametrize(
    "state", [state for state in ConnectionState if EXPECTED[state]["end of stream"] is ConnectionState.BROKEN]
)
def test_end_of_stream_in_flight_has_its_own_error(state: ConnectionState) -> None:
    """An end of the stream before the end of the reply raises `EndedEarly`, except on a broken connection."""
    connection = IN_STATE[state]()
    with pytest.raises(ProtocolError) as raised:
        connection.receive(b"")
    assert isinstance(raised.value, EndedEarly) is (state is not ConnectionState.BROKEN)


@pytest.mark.parametrize("state", ConnectionState)
def test_no_state_is_reusable_before_a_reply(state: ConnectionState) -> None:
    """A connection without a whole reply is not reusable, in every state."""
    assert IN_STATE[state]().reusable is False
