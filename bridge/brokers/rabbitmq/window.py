"""The delivery tags of one channel that are not settled yet, and how to settle many with few frames. Pure.

A tag that was never delivered, or is settled twice, would make RabbitMQ close the channel: the window knows them all.
"""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What to tell RabbitMQ, in this order: give back each of these, acknowledge all up to a tag, and each of these."""

    given_back: list[int] = field(default_factory=list)
    acked_up_to: int | None = None
    acked: list[int] = field(default_factory=list)


class Window:
    """The unsettled tags of a channel, in the order of their delivery."""

    def __init__(self) -> None:
        self._open: dict[int, str] = {}
        self._acked: set[int] = set()
        self._given_back: list[int] = []

    def held(self) -> Counter[str]:
        """Return how many deliveries of each queue nobody has settled."""
        return Counter(queue for tag, queue in self._open.items() if tag not in self._acked)

    def arrived(self, tag: int, queue: str) -> None:
        """A delivery has come."""
        self._open[tag] = queue

    def ack(self, tag: int) -> None:
        """It is done with. Raise `RuntimeError` where it was settled before."""
        self._check(tag)
        self._acked.add(tag)

    def give_back(self, tag: int) -> None:
        """It goes back to its queue. Raise `RuntimeError` where it was settled before."""
        self._check(tag)
        del self._open[tag]
        self._given_back.append(tag)

    def take_verdicts(self) -> Verdicts:
        """Return what was settled since the last time; it is forgotten then."""
        up_to = None
        for tag in self._open:
            if tag not in self._acked:
                break
            up_to = tag
        single = sorted(tag for tag in self._acked if up_to is None or tag > up_to)
        for tag in self._acked:
            del self._open[tag]
        verdicts = Verdicts(self._given_back, up_to, single)
        self._acked, self._given_back = set(), []
        return verdicts

    def _check(self, tag: int) -> None:
        if tag not in self._open or tag in self._acked:
            raise RuntimeError(f"delivery {tag} is settled twice")
