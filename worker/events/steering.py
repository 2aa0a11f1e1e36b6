"""What operators decide, as the take loop sees it: which events may not begin, and what becomes of them instead."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from bridge.cancellations import Cancellation
from bridge.controls import Pause, pause_of
from bridge.envelope import Envelope
from bridge.settlement import DeadLetter

COMES_BACK_AFTER = 2.0
COMES_BACK_AT_MOST = 30.0
"""The first and the longest time in seconds until an event that is paused by its name is looked at again. It leaves its
place to the other events of its queue."""


@dataclass(frozen=True, slots=True)
class GiveBack:
    """The event returns to its queue, which is paused."""


@dataclass(frozen=True, slots=True)
class ComeBack:
    """This envelope replaces the delivery, and is delivered again after `wait`. No attempt is spent."""

    envelope: Envelope
    wait: timedelta


Instead = DeadLetter | ComeBack | GiveBack


class Steering(Protocol):
    """The controls of the site as the worker knows them; `worker.control.site_controls` has them.

    `pauses` are the pauses that hold now. `unknown`: the controls were not read again since the broker was lost.
    """

    pauses: tuple[Pause, ...]
    unknown: bool

    def cancellation(self, envelope: Envelope) -> Cancellation | None:
        """Return the cancellation because of which this event may not begin, None if it may."""

    def is_cancelled(self, event: str) -> bool:
        """Return whether the event with this id may have been cancelled."""

    def newly_interrupted(self) -> frozenset[str]:
        """Return the ids of the events that must end although they run, since the last call."""

    def look(self, *, live: bool) -> None:
        """Note whether the broker is reached."""

    async def changed(self) -> None:
        """Wait until the pauses have changed, or an event was cancelled."""


class Unsteered:
    """No controls: nothing is paused or cancelled."""

    pauses: tuple[Pause, ...] = ()
    unknown = False

    def cancellation(self, envelope: Envelope) -> None:
        """Return None."""

    def is_cancelled(self, event: str) -> bool:
        """Return False."""
        return False

    def newly_interrupted(self) -> frozenset[str]:
        """Return no event."""
        return frozenset()

    def look(self, *, live: bool) -> None:
        """Do nothing."""

    async def changed(self) -> None:
        """Wait without end."""
        await asyncio.Event().wait()


def instead_of_begin(steering: Steering, envelope: Envelope, queue: str) -> Instead | None:
    """Return what becomes of an event that may not begin because of the controls, None if the gate decides."""
    if (cancellation := steering.cancellation(envelope)) is not None:
        return DeadLetter(envelope, "cancelled", cancellation.error)
    pause = pause_of(steering.pauses, queue, envelope.event.name)
    if pause is None:
        return None
    if pause.queue is not None:
        return GiveBack()
    return come_back(envelope, min(COMES_BACK_AFTER * 2 ** min(envelope.deferred_again, 10), COMES_BACK_AT_MOST))


def come_back(envelope: Envelope, seconds: float) -> ComeBack:
    """Return that an event which may not begin leaves its place to others, for these seconds."""
    return ComeBack(envelope._replace(deferred_again=envelope.deferred_again + 1), timedelta(seconds=seconds))


def may_not_begin(steering: Steering, queue: str, name: str, event: str) -> bool:
    """Return whether an event that has passed the gate, and has no slot yet, may not begin any more."""
    return steering.is_cancelled(event) or pause_of(steering.pauses, queue, name) is not None


def paused_patterns(pauses: Sequence[Pause]) -> str | None:
    """Return which events are paused by their names, for the status of a queue; None if there are none."""
    return "; ".join(f"{pause.target}: {pause.reason}" for pause in pauses if pause.events is not None) or None
