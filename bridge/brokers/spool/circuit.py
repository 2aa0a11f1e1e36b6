"""The circuit: whether events go to the broker or to the spool, and what changes that. Pure: the clock is passed in.

| state     | events go to | SILENCE | REACHED   | ANSWER |
|-----------|--------------|---------|-----------|--------|
| CLOSED    | the broker   | OPEN    | CLOSED    | CLOSED |
| OPEN      | the spool    | OPEN    | HALF_OPEN | CLOSED |
| HALF_OPEN | the spool    | OPEN    | HALF_OPEN | CLOSED |

Half open, one spooled event is tried: a broker that can be reached may still confirm nothing.
"""

from enum import Enum, auto

REMIND_SECONDS = 60.0


class State(Enum):
    """Where events go."""

    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


class Sign(Enum):
    """What was seen of the broker."""

    SILENCE = auto()
    """It could not be reached, or did not confirm, in time."""
    REACHED = auto()
    """It was reached, and the queues are there."""
    ANSWER = auto()
    """It answered a publish: yes, no, or not so."""


_NEXT = {
    State.CLOSED: {Sign.SILENCE: State.OPEN, Sign.REACHED: State.CLOSED, Sign.ANSWER: State.CLOSED},
    State.OPEN: {Sign.SILENCE: State.OPEN, Sign.REACHED: State.HALF_OPEN, Sign.ANSWER: State.CLOSED},
    State.HALF_OPEN: {Sign.SILENCE: State.OPEN, Sign.REACHED: State.HALF_OPEN, Sign.ANSWER: State.CLOSED},
}


class Circuit:
    """The state, and since when somebody has not been told of it (seconds of any steady clock)."""

    def __init__(self) -> None:
        self.state = State.CLOSED
        self._told = 0.0

    @property
    def closed(self) -> bool:
        """Whether events go to the broker."""
        return self.state is State.CLOSED

    def note(self, sign: Sign, now: float) -> bool:
        """Take a sign. Tell whether events go elsewhere by it."""
        was_closed = self.closed
        self.state = _NEXT[self.state][sign]
        if self.closed == was_closed:
            return False
        self._told = now
        return True

    def remind(self, now: float) -> bool:
        """Tell whether it is time to say that events still go to the spool: once a minute."""
        if self.closed or now - self._told < REMIND_SECONDS:
            return False
        self._told = now
        return True
