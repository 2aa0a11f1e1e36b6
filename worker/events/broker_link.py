"""The link between a worker and its broker: tells watchers once when it is lost, and once when it is back."""

from bridge.moments import BrokerBack, BrokerLost, Tell


class BrokerLink:
    """Tells `BrokerLost` and `BrokerBack`. The link counts as up until `look` finds it down."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._lost_since: float | None = None

    def look(self, live: bool, trouble: str, now: float) -> None:
        """Note whether the worker takes events from any queue (`live`), and the `trouble` if it does not. `now` is the
        time of a monotonic clock, in seconds."""
        lost_since = self._lost_since
        if not live and lost_since is None:
            self._lost_since = now
            self._tell(BrokerLost(trouble))
        elif live and lost_since is not None:
            self._lost_since = None
            self._tell(BrokerBack(now - lost_since))
