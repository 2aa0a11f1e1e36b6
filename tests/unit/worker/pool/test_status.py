"""The status of a pool's children: a row for each seat, each spare, and each child that leaves."""

from dataclasses import dataclass, replace
from typing import cast

from bridge.child_protocol import Ready
from bridge.status import SlotStatus
from worker.pool.child import Child
from worker.pool.recycling import Wear
from worker.pool.seats import Seats
from worker.pool.status import children_status


@dataclass(frozen=True)
class FakeChild:
    """A child with the fields that a status uses."""

    pid: int
    wear = Wear(requests=7, age=3.14, memory=4096)
    boot_seconds = 0.25
    ready = Ready(release="v7")


def child(pid: int) -> Child:
    return cast(Child, FakeChild(pid))


def busy(running: Child, slot: SlotStatus) -> SlotStatus:
    """Describe the children 1 and 3 as busy."""
    return replace(slot, event="do.this", seconds=0.5) if running.pid in (1, 3) else slot


def test_each_seat_and_each_child_has_a_row() -> None:
    """Busy and idle seats, a seat whose child boots, a spare, and a child that finishes its request and leaves."""
    seats: Seats[Child] = Seats(3, 1)
    seats.booting = 4
    for pid in (1, 2, 3, 4):
        seats.ready(child(pid))
    before = children_status(seats, busy, release="v7", trouble=None)
    seats.due(child(1), "recycled after 7 requests")
    seats.lost(child(2), "was ended by SIGKILL")
    after = children_status(seats, busy, release="v7", trouble="ImportError: shop")

    assert [(slot.slot, slot.state, slot.pid) for slot in before.slots] == [
        *((1, "busy", 1), (2, "idle", 2), (3, "busy", 3), (None, "spare", 4)),
    ]
    assert [(slot.slot, slot.state, slot.pid, slot.why) for slot in after.slots] == [
        (1, "idle", 4, "recycled after 7 requests"),
        (2, "booting", None, "was ended by SIGKILL"),
        (3, "busy", 3, None),
        (None, "retiring", 1, "recycled after 7 requests"),
    ]
    assert [(slot.event, slot.seconds) for slot in after.slots if slot.event] == [("do.this", 0.5)] * 2
    assert (after.children, after.restarts, after.trouble) == (3, 2, "ImportError: shop")
    third = after.slots[2]
    assert (third.age, third.requests, third.rss, third.boot_seconds, third.release) == (3.1, 7, 4096, 0.25, "v7")
