"""An account of the calls of one ordeal, by the key of each call. `call_rules` judges it."""

from dataclasses import dataclass, field

from tests.faults.history import Record


@dataclass(slots=True)
class Call:
    """A call: what its caller asked and was told, and when listeners began and ended for it."""

    asked: Record | None = None
    told: Record | None = None
    begun: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)

    @property
    def until(self) -> float:
        """The moment at which its caller gives up; that of its first run if nobody asked."""
        at: float = self.begun[0] if self.asked is None else self.asked["at"] + self.asked["timeout"]
        return at

    @property
    def end(self) -> str | None:
        """`answered`, or the type of the error that the caller was told; None if it was told nothing."""
        return None if self.told is None else self.told["end"]

    def enter(self, record: Record) -> None:
        """Enter a line of the history that is about this call."""
        match record["what"]:
            case "ask":
                self.asked = record
            case "told":
                self.told = record
            case "called":
                self.begun.append(record["at"])
            case "replied":
                self.ended.append(record["at"])
