"""The gate: decide whether an event of a queue may begin now. Pure; the take loop asks before an event lines up for a
slot. Up to one event for each slot has passed the gate already, and waits in line.

A term is a function of the queue, the time and the state; it returns a `Wait` or None. An event may begin if no term
asks it to wait. This worker holds the events that wait at the gate, so the prefetch of a queue must be as low as its
terms allow: the other events stay in the broker, where another worker can take them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from bridge.controls import Pause, pause_of
from bridge.rates import Bucket
from worker.events.queue_breaker import QueueBreaker


@dataclass(slots=True)
class GateState:
    """The state of a worker, for the terms. The caller asks with one object again and again, and changes it before each
    question.

    `in_flight` counts the events of each queue that have begun and are not settled. `limits` has the highest such count
    for each queue that may not fill all slots. `unconfirmed` counts the settlements that the broker does not confirm.
    `pauses` are the pauses that hold now. `controls_unknown`: the broker was lost, and the controls were not read again
    since. `event` is the name of the event that asks, None for any event of the queue.
    `buckets` has this worker's share of each queue's rate, None as long as it is not known, and `promised` counts the
    tokens of the events that have passed the gate and have not begun. `site_slots` has how many of a queue's slots of
    the whole site this worker has. `breakers` has the breakers of the queues that have one.
    """

    in_flight: Mapping[str, int]
    limits: Mapping[str, int]
    unconfirmed: int
    pauses: Sequence[Pause] = ()
    controls_unknown: bool = False
    event: str | None = None
    buckets: Mapping[str, Bucket | None] = field(default_factory=dict)
    promised: Mapping[str, int] = field(default_factory=dict)
    site_slots: Mapping[str, int] = field(default_factory=dict)
    breakers: Mapping[str, QueueBreaker] = field(default_factory=dict)

    def leaves_free(self, queue: str) -> bool:
        """Return True if no term can ask an event of this queue to wait, which is the usual case."""
        return not (
            self.unconfirmed
            or self.pauses
            or self.controls_unknown
            or queue in self.limits
            or queue in self.buckets
            or queue in self.site_slots
            or queue in self.breakers
        )


@dataclass(frozen=True, slots=True)
class Go:
    """The event may begin."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The event may not begin until the state changes or this number of seconds has passed; `why` is for people."""

    seconds: float
    why: str


Term = Callable[[str, float, GateState], Wait | None]
GO = Go()


def slots_of_the_queue(queue: str, now: float, state: GateState) -> Wait | None:
    """Limit a queue to its own number of slots (`[queues.x] slots`)."""
    limit = state.limits.get(queue)
    if limit is None or state.in_flight.get(queue, 0) < limit:
        return None
    return Wait(inf, f"its {limit} slots are taken" if limit > 1 else "its slot is taken")


def site_slots_of_the_queue(queue: str, now: float, state: GateState) -> Wait | None:
    """Limit a queue to the slots of the whole site that this worker has (`[queues.x] site_slots`)."""
    held = state.site_slots.get(queue)
    if held is None or state.in_flight.get(queue, 0) < held:
        return None
    return Wait(inf, "its slots of the whole site are taken")


def rate_of_the_queue(queue: str, now: float, state: GateState) -> Wait | None:
    """Limit a queue to this worker's share of its rate (`[queues.x] rate`)."""
    if queue not in state.buckets:
        return None
    bucket = state.buckets[queue]
    if bucket is None:
        return Wait(inf, "its rate: the workers that share it are not known yet")
    seconds = bucket.wait(now, state.promised.get(queue, 0))
    return Wait(seconds, f"its rate: this worker has {bucket.rate:.3g} a second") if seconds else None


def breaker_of_the_queue(queue: str, now: float, state: GateState) -> Wait | None:
    """Begin single events of a queue, or of a name in it, whose events fail alike (`[queues.x] breaker`)."""
    breaker = state.breakers.get(queue)
    holding = None if breaker is None else breaker.holding(state.event)
    if holding is None:
        return None
    seconds = holding.wait(now)
    return Wait(seconds, holding.why(now)) if seconds else None


def unconfirmed_settlements(queue: str, now: float, state: GateState) -> Wait | None:
    """Begin no event while the broker does not confirm settlements: more events might run twice."""
    if not state.unconfirmed:
        return None
    return Wait(inf, f"settlements that the broker does not confirm: {state.unconfirmed}")


def paused(queue: str, now: float, state: GateState) -> Wait | None:
    """Begin no event that an operator has paused, by its queue or by its name."""
    if state.controls_unknown:
        return Wait(inf, "the broker was lost, and pauses are not known yet")
    pause = pause_of(state.pauses, queue, state.event)
    return None if pause is None else Wait(inf, pause.reason)


TERMS: tuple[Term, ...] = (
    paused,
    unconfirmed_settlements,
    slots_of_the_queue,
    site_slots_of_the_queue,
    rate_of_the_queue,
    breaker_of_the_queue,
)
"""All terms. `GateState.leaves_free` looks at everything that one of them looks at."""


def may_begin(queue: str, now: float, state: GateState) -> Go | Wait:
    """Return whether an event of `queue` may begin `now` (seconds of a monotonic clock)."""
    return GO if state.leaves_free(queue) else longest_wait(queue, now, state)


def longest_wait(queue: str, now: float, state: GateState, terms: Sequence[Term] = TERMS) -> Go | Wait:
    """Return `Go`, or the longest `Wait` that a term asks for, the first one if several are equal."""
    longest: Wait | None = None
    for term in terms:
        wait = term(queue, now, state)
        if wait is not None and (longest is None or wait.seconds > longest.seconds):
            longest = wait
    return longest or GO
