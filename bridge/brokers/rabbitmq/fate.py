"""What became of one event's publishes so far, and the error that tells whether it may run."""

import time

from bridge.errors import BrokerUnavailable, DeferError, DeferRejected, DeferUnconfirmed, PartlyRejected


class Fate:
    """Of one event, within so many seconds from now. `unknown` once a publish was neither confirmed nor refused."""

    def __init__(self, event_id: str, within: float) -> None:
        self._event_id = event_id
        self._within = within
        self._deadline = time.monotonic() + within
        self.in_flight = False
        self.unknown = False
        self.rejected = False
        self._pause = 0.02

    def out_of_time(self) -> bool:
        """Tell whether the time is over, so that nothing is written any more."""
        return time.monotonic() >= self._deadline

    def pause(self) -> float:
        """Return the most seconds to wait before the next try: twice as long each time, up to one."""
        self._pause = min(2 * self._pause, 1.0)
        return self._pause

    def as_error(self, trouble: str) -> DeferError:
        """Return what to raise where the time is over."""
        event, time_over = f"event {self._event_id}", f"within {self._within:g} s{': ' if trouble else ''}{trouble}"
        if self.in_flight or self.unknown:
            return DeferUnconfirmed(self._event_id, f"{event}: written, not confirmed {time_over}")
        if self.rejected:
            return DeferRejected(f"{event}: RabbitMQ does not take it (a full queue or disk) for {self._within:g} s")
        return BrokerUnavailable(f"{event}: not published {time_over}")

    def partly(self, name: str) -> PartlyRejected:
        """Return what to raise where one of several queues has refused it."""
        message = f"event {self._event_id}: one of the queues of {name!r} does not take it, and the others may have it"
        return PartlyRejected(self._event_id, message)
