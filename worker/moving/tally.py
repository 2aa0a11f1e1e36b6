"""The books of a move: what was moved, and what is kept in the old file, with the reason."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from bridge.logger import log


class Kind(StrEnum):
    """What is moved, in the words and the order of the report."""

    DUE = "events that are due"
    DELAYED = "events that are delayed"
    RETRYING = "events that wait for a retry"
    LETTERS = "dead letters"
    MESSAGES = "messages in mailboxes"
    PAUSES = "pauses"
    CANCELLATIONS = "cancellations"
    GROUPS = "decisions about groups"

    @property
    def copied(self) -> bool:
        """True for a kind that stays in the old file too, as a record of what was decided there."""
        return self in (Kind.PAUSES, Kind.CANCELLATIONS, Kind.GROUPS)


@dataclass(slots=True)
class Tally:
    """The counts so far. `kept` has the reason for each thing that the new broker refused, by its name for people.
    `unanswered` counts the times at which the new broker did not confirm in time: what was in flight may be there, and
    is published again."""

    moved: Counter[Kind] = field(default_factory=Counter)
    kept: dict[str, str] = field(default_factory=dict)
    unanswered: int = 0
    _said: set[tuple[str, str]] = field(default_factory=set)

    def keep(self, what: str, error: Exception) -> None:
        """Note that something stays in the old file. The log says so once for each reason."""
        self.kept[what] = str(error)
        if (what, str(error)) not in self._said:
            self._said.add((what, str(error)))
            log.warning("%s stays in the old file: %s", what, error)

    def forget_kept(self) -> None:
        """Start the list of what stays again, because everything is tried again."""
        self.kept.clear()
