"""Which events are still retrying, as the history tells: those whose last attempt failed and will be repeated."""

from collections.abc import Sequence

from bridge.history import RETRIED, Entry


class Retrying:
    """Takes the attempts of the history newest first, and keeps the last one of each event and queue that is retried.

    An event that was cancelled or purged since its last attempt counts until the history forgets it.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], Entry | None] = {}

    def add(self, entry: Entry) -> None:
        """Add the next older attempt."""
        self._last.setdefault((entry.id, entry.queue), entry if entry.end == RETRIED else None)

    def events(self) -> Sequence[Entry]:
        """Return the last attempts of the events that are still retrying, oldest first."""
        return sorted((each for each in self._last.values() if each is not None), key=lambda entry: entry.time)
