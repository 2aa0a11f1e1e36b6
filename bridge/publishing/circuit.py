"""The circuit: decides whether events go to the broker or to the spool. Pure: the clock is passed in.

| state     | events go to | SILENCE | REACHED   | ANSWER |
|-----------|--------------|---------|-----------|--------|
| CLOSED    | the broker   | OPEN    | CLOSED    | CLOSED |
| OPEN      | the spool    | OPEN    | HALF_OPEN | CLOSED |
| HALF_OPEN | the spool    | OPEN    | HALF_OPEN | CLOSED |

In HALF_OPEN one spooled event is tried, because a broker that can be reached may still confirm nothing.
"""

from enum import Enum, auto

REMIND_SECONDS = 60.0
"""Seconds between two log lines about a circuit that stays open."""


class CircuitState(Enum):
    """The states of the circuit. Events go to the broker in CLOSED, to the spool in the other two."""

    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


class Observation(Enum):
    """An observation of the broker. Each moves the circuit as the table of this module says."""

    SILENCE = auto()
    """The broker could not be reached, or did not confirm, in time."""
    REACHED = auto()
    """The broker was reached, and the queues are declared."""
    ANSWER = auto()
    """The broker replied to a publish: ack, nack or return."""


_CHANGES = {
    CircuitState.CLOSED: {Observation.SILENCE: CircuitState.OPEN},
    CircuitState.OPEN: {Observation.REACHED: CircuitState.HALF_OPEN, Observation.ANSWER: CircuitState.CLOSED},
    CircuitState.HALF_OPEN: {Observation.SILENCE: CircuitState.OPEN, Observation.ANSWER: CircuitState.CLOSED},
}


class Circuit:
    """The state, and the time of the last log line about it. Times are seconds of any steady clock."""

    def __init__(self) -> None:
        self.state = CircuitState.CLOSED
        self._last_logged = 0.0

    @property
    def closed(self) -> bool:
        """True if events go to the broker."""
        return self.state is CircuitState.CLOSED

    def note(self, observation: Observation, now: float) -> bool:
        """Apply an observation; return True if events now go to the other destination."""
        was_closed = self.closed
        self.state = _CHANGES[self.state].get(observation, self.state)
        if self.closed == was_closed:
            return False
        self._last_logged = now
        return True

    def remind(self, now: float) -> bool:
        """Return True if it is time to log again that events go to the spool: every `REMIND_SECONDS`."""
        if self.closed or now - self._last_logged < REMIND_SECONDS:
            return False
        self._last_logged = now
        return True
