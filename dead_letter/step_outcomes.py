"""Finds the outcomes of the events that a plan has put back, in the history and the ledger. Pure."""

from collections.abc import Iterable

from bridge.history import DEAD, DELIVERED, GOES_ON, RETRIED, Entry
from bridge.ledger import Dead

_Key = tuple[str, str]


class StepOutcomes:
    """Counts the outcomes of the present step and of all steps. The first outcome of an event counts. `fingerprints`
    are the ids of the errors that the plan's letters died of."""

    def __init__(self, fingerprints: Iterable[str]) -> None:
        self.delivered = self.failed = 0
        self.size = self.failed_in_step = self.reappeared_in_step = 0
        self._fingerprints = frozenset(fingerprints)
        self._waiting: set[_Key] = set()
        self._step: set[_Key] = set()

    def begin(self, letters: Iterable[Dead]) -> None:
        """Begin a step with these letters, before they are put back."""
        self._step = {(letter.event_id, letter.queue) for letter in letters}
        self._waiting |= self._step
        self.size, self.failed_in_step, self.reappeared_in_step = len(self._step), 0, 0

    def leave_out(self, letter: Dead) -> None:
        """Expect nothing of a letter that was not put back."""
        self._waiting.discard((letter.event_id, letter.queue))
        self._step.discard((letter.event_id, letter.queue))

    @property
    def left(self) -> int:
        """The number of the step's events of which nothing is known yet."""
        return len(self._step)

    def add_attempt(self, entry: Entry) -> None:
        """Add an attempt of any event that was settled since the plan began. A snoozed or halted event is not known."""
        key = self._found(entry.id, entry.queue)
        if key is None or (entry.end in GOES_ON and entry.end != RETRIED):
            return
        fingerprint = entry.fingerprint
        failed = entry.end in (RETRIED, DEAD)
        self._settle(key, entry.end == DELIVERED, failed, fingerprint.id if fingerprint is not None else "")

    def add_letter(self, letter: Dead) -> None:
        """Add a letter that is new since the plan began."""
        key = self._found(letter.event_id, letter.queue)
        if key is not None:
            self._settle(key, False, letter.reason not in ("cancelled", "expired"), letter.fingerprint.id)

    def _found(self, event_id: str, queue: str) -> _Key | None:
        """Return the expected event. One that was unroutable is routed by its name again, so its queue is not known."""
        return next((key for key in ((event_id, queue), (event_id, "")) if key in self._waiting), None)

    def _settle(self, key: _Key, delivered: bool, failed: bool, fingerprint: str) -> None:
        self._waiting.discard(key)
        self._step.discard(key)
        self.delivered += delivered
        self.failed += failed
        self.failed_in_step += failed
        self.reappeared_in_step += failed and fingerprint in self._fingerprints
