"""The circuit: every state with every observation, and the times of its reminders."""

import pytest

from bridge.publishing.circuit import REMIND_SECONDS, Circuit, CircuitState, Observation

TABLE = [
    (CircuitState.CLOSED, Observation.SILENCE, CircuitState.OPEN, True),
    (CircuitState.CLOSED, Observation.REACHED, CircuitState.CLOSED, False),
    (CircuitState.CLOSED, Observation.ANSWER, CircuitState.CLOSED, False),
    (CircuitState.OPEN, Observation.SILENCE, CircuitState.OPEN, False),
    (CircuitState.OPEN, Observation.REACHED, CircuitState.HALF_OPEN, False),
    (CircuitState.OPEN, Observation.ANSWER, CircuitState.CLOSED, True),
    (CircuitState.HALF_OPEN, Observation.SILENCE, CircuitState.OPEN, False),
    (CircuitState.HALF_OPEN, Observation.REACHED, CircuitState.HALF_OPEN, False),
    (CircuitState.HALF_OPEN, Observation.ANSWER, CircuitState.CLOSED, True),
]
OBSERVATIONS = {
    CircuitState.CLOSED: (),
    CircuitState.OPEN: (Observation.SILENCE,),
    CircuitState.HALF_OPEN: (Observation.SILENCE, Observation.REACHED),
}


def circuit_in(state: CircuitState, now: float = 0.0) -> Circuit:
    """Return a circuit that has come to this state."""
    circuit = Circuit()
    for observation in OBSERVATIONS[state]:
        circuit.note(observation, now)
    return circuit


@pytest.mark.parametrize(("state", "observation", "after", "changed"), TABLE)
def test_every_observation_in_every_state(
    state: CircuitState, observation: Observation, after: CircuitState, changed: bool
) -> None:
    """The circuit has the expected state, and returns True if events go to the other destination."""
    circuit = circuit_in(state)

    assert circuit.note(observation, 1.0) is changed
    assert circuit.state is after


def test_the_table_is_whole() -> None:
    """The table has every pair of a state and an observation."""
    assert {(state, observation) for state, observation, *_ in TABLE} == {
        (state, observation) for state in CircuitState for observation in Observation
    }


@pytest.mark.parametrize("state", CircuitState)
def test_only_a_closed_circuit_leads_to_the_broker(state: CircuitState) -> None:
    """Events are spooled in HALF_OPEN too."""
    assert circuit_in(state).closed is (state is CircuitState.CLOSED)


def test_it_reminds_once_a_minute_while_it_is_open() -> None:
    """The minute begins when the circuit opens. A closed circuit never reminds."""
    circuit = circuit_in(CircuitState.HALF_OPEN, now=100.0)
    minute = 100.0 + REMIND_SECONDS

    reminders = [circuit.remind(now) for now in (minute - 1, minute, minute + 1, minute + REMIND_SECONDS)]
    circuit.note(Observation.ANSWER, minute)

    assert reminders == [False, True, False, True]
    assert not circuit.remind(minute * 10)
