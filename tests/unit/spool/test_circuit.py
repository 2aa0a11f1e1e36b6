"""The circuit: every state with every sign, and when somebody is told."""

import pytest

from bridge.brokers.spool.circuit import REMIND_SECONDS, Circuit, Sign, State

TABLE = [
    (State.CLOSED, Sign.SILENCE, State.OPEN, True),
    (State.CLOSED, Sign.REACHED, State.CLOSED, False),
    (State.CLOSED, Sign.ANSWER, State.CLOSED, False),
    (State.OPEN, Sign.SILENCE, State.OPEN, False),
    (State.OPEN, Sign.REACHED, State.HALF_OPEN, False),
    (State.OPEN, Sign.ANSWER, State.CLOSED, True),
    (State.HALF_OPEN, Sign.SILENCE, State.OPEN, False),
    (State.HALF_OPEN, Sign.REACHED, State.HALF_OPEN, False),
    (State.HALF_OPEN, Sign.ANSWER, State.CLOSED, True),
]
SIGNS = {State.CLOSED: (), State.OPEN: (Sign.SILENCE,), State.HALF_OPEN: (Sign.SILENCE, Sign.REACHED)}


def circuit_in(state: State, now: float = 0.0) -> Circuit:
    """A circuit that has come to this state."""
    circuit = Circuit()
    for sign in SIGNS[state]:
        circuit.note(sign, now)
    return circuit


@pytest.mark.parametrize(("state", "sign", "after", "elsewhere"), TABLE)
def test_every_sign_in_every_state(state: State, sign: Sign, after: State, elsewhere: bool) -> None:
    """The state that follows, and whether events go elsewhere by it."""
    circuit = circuit_in(state)

    assert circuit.note(sign, 1.0) is elsewhere
    assert circuit.state is after


def test_the_table_is_whole() -> None:
    """No state and no sign is left out of it."""
    assert {(state, sign) for state, sign, *_ in TABLE} == {(state, sign) for state in State for sign in Sign}


@pytest.mark.parametrize("state", State)
def test_only_a_closed_circuit_leads_to_the_broker(state: State) -> None:
    """Half open, events are spooled as well."""
    assert circuit_in(state).closed is (state is State.CLOSED)


def test_it_reminds_once_a_minute_while_it_is_open() -> None:
    """From when it opened, and never when it is closed."""
    circuit = circuit_in(State.HALF_OPEN, now=100.0)
    minute = 100.0 + REMIND_SECONDS

    told = [circuit.remind(now) for now in (minute - 1, minute, minute + 1, minute + REMIND_SECONDS)]
    circuit.note(Sign.ANSWER, minute)

    assert told == [False, True, False, True]
    assert not circuit.remind(minute * 10)
