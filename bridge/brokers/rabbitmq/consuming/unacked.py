"""The unacknowledged delivery tags of one channel. Settles many of them with few frames. Pure.

RabbitMQ closes a channel that settles a tag twice, or one it never delivered: both raise here instead.
"""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Acknowledgements:
    """The frames to send to RabbitMQ, in this order: a nack for each requeued tag, a nack without requeue for each tag
    of `set_aside`, one ack for all tags up to `acked_up_to`, and an ack for each of `acked`."""

    requeued: list[int] = field(default_factory=list)
    acked_up_to: int | None = None
    acked: list[int] = field(default_factory=list)
    set_aside: list[int] = field(default_factory=list)


class Unacked:
    """The unacknowledged tags of a channel, in the order of their delivery."""

    def __init__(self) -> None:
        self._open: dict[int, str] = {}
        self._acked: set[int] = set()
        self._requeued: list[int] = []
        self._set_aside: list[int] = []

    def by_queue(self) -> Counter[str]:
        """Return how many deliveries of each queue are not settled."""
        return Counter(queue for tag, queue in self._open.items() if tag not in self._acked)

    def delivered(self, tag: int, queue: str) -> None:
        """Add a delivery."""
        self._open[tag] = queue

    def ack(self, tag: int) -> str:
        """Settle a delivery as done, and return its queue. Raise `RuntimeError` if it was settled before."""
        self._check(tag)
        self._acked.add(tag)
        return self._open[tag]

    def requeue(self, tag: int) -> None:
        """Settle a delivery by returning it to its queue. Raise `RuntimeError` if it was settled before."""
        self._check(tag)
        del self._open[tag]
        self._requeued.append(tag)

    def set_aside(self, tag: int) -> None:
        """Settle a delivery by letting RabbitMQ move it to the ledger. Raise `RuntimeError` if it was settled
        before."""
        self._check(tag)
        del self._open[tag]
        self._set_aside.append(tag)

    def take_acknowledgements(self) -> Acknowledgements:
        """Return what was settled since the last call, and forget it."""
        up_to = None
        for tag in self._open:
            if tag not in self._acked:
                break
            up_to = tag
        single = sorted(tag for tag in self._acked if up_to is None or tag > up_to)
        for tag in self._acked:
            del self._open[tag]
        taken = Acknowledgements(self._requeued, up_to, single, self._set_aside)
        self._acked, self._requeued, self._set_aside = set(), [], []
        return taken

    def _check(self, tag: int) -> None:
        if tag not in self._open or tag in self._acked:
            raise RuntimeError(f"delivery {tag} is settled twice")
