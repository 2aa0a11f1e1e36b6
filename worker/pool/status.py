"""The status of a pool's children, from its bookkeeping alone: no child is asked, so no child can delay the status."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from bridge.status import ChildrenStatus, SlotStatus
from worker.pool.child import Child
from worker.pool.seats import Seat, Seats

Describe = Callable[[Child, SlotStatus], SlotStatus]
"""Add the request that runs in a child to the status of its slot; return the status unchanged if no request runs."""


def children_status(
    seats: Seats[Child], describe: Describe, release: str | None, trouble: str | None
) -> ChildrenStatus:
    """Return the status of a pool's children. `release` is what the newest children serve, `trouble` why the last
    failed boot failed."""
    return ChildrenStatus(
        release=release,
        children=seats.size,
        booting=seats.booting,
        restarts=sum(seat.restarts for seat in seats.seats),
        trouble=trouble,
        slots=tuple(_slots(seats, describe)),
    )


def kind_of(seats: Seats[Child], child: Child, *, busy: bool) -> str:
    """Return in words what a child was doing, for the log of its loss."""
    if busy:
        return "a busy child"
    return "a spare child" if child in seats.spares else "an idle child"


def _slots(seats: Seats[Child], describe: Describe) -> Iterator[SlotStatus]:
    for seat in seats.seats:
        yield _seated(seat, describe)
    for child in seats.spares:
        yield _with(child, SlotStatus(slot=None, state="spare"))
    for child, why in seats.leaving.items():
        yield describe(child, _with(child, SlotStatus(slot=None, state="retiring", why=why)))


def _seated(seat: Seat[Child], describe: Describe) -> SlotStatus:
    slot = SlotStatus(slot=seat.number, state="booting", restarts=seat.restarts, why=seat.why)
    if seat.child is None:
        return slot
    slot = describe(seat.child, _with(seat.child, replace(slot, state="idle")))
    return slot if slot.state == "reading" else replace(slot, state="idle" if slot.seconds is None else "busy")


def _with(child: Child, slot: SlotStatus) -> SlotStatus:
    wear = child.wear
    return replace(
        slot,
        pid=child.pid,
        age=round(wear.age, 1),
        requests=wear.requests,
        rss=wear.memory,
        boot_seconds=round(child.boot_seconds, 3),
        release=child.ready.release,
    )
