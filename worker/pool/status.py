"""A pool's status, from its books alone: no child is asked, so that none can be waited for. Times are in seconds,
memory in bytes, and all of it is as JSON can have it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from worker.pool.child import Child
from worker.pool.seats import Seat, Seats

Running = Callable[[Child], Mapping[str, Any]]
"""Says what runs in a child, and for how many `seconds`; nothing where nothing does."""


def pool_status(seats: Seats[Child], running: Running, release: str | None, trouble: str | None) -> Mapping[str, Any]:
    """Return the status of a pool. `release` is what its newest children serve, `trouble` why the last boot that failed
    did."""
    return {
        "release": release,
        "children": seats.size,
        "booting": seats.booting,
        "restarts": sum(seat.restarts for seat in seats.seats),
        "trouble": trouble,
        "slots": list(_rows(seats, running)),
    }


def _rows(seats: Seats[Child], running: Running) -> Iterator[Mapping[str, Any]]:
    for seat in seats.seats:
        yield _seat(seat, running)
    for child in seats.spares:
        yield {"slot": None, "state": "spare", **_child(child)}
    for child, why in seats.leaving.items():
        yield {"slot": None, "state": "retiring", "why": why, **_child(child), **running(child)}


def _seat(seat: Seat[Child], running: Running) -> Mapping[str, Any]:
    books = {"slot": seat.number, "restarts": seat.restarts, "why": seat.why}
    if seat.child is None:
        return {**books, "state": "booting"}
    what = running(seat.child)
    return {**books, "state": "busy" if what else "idle", **_child(seat.child), **what}


def _child(child: Child) -> Mapping[str, Any]:
    wear = child.wear
    return {
        "pid": child.pid,
        "age": round(wear.age, 1),
        "requests": wear.requests,
        "rss": wear.memory,
        "boot_seconds": round(child.boot_seconds, 3),
        "release": child.ready.release,
    }
