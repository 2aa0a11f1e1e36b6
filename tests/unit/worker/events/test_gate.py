"""The gate: a table of states, and whether an event may begin."""

from math import inf
from typing import Any

import pytest

from bridge.rates import Bucket
from worker.events.gate import GO, GateState, Go, Wait, longest_wait, may_begin

UNCONFIRMED = "settlements that the broker does not confirm: 2"
UNKNOWN = "its rate: the workers that share it are not known yet"


def state(in_flight: int = 0, limit: int | None = None, unconfirmed: int = 0) -> GateState:
    """Return the state of a worker that has `in_flight` events of the queue `mail`, and no others."""
    return GateState({"mail": in_flight}, {} if limit is None else {"mail": limit}, unconfirmed)


@pytest.mark.parametrize(
    ("queue", "state_of_worker", "expected"),
    [
        ("mail", state(), GO),
        ("mail", state(in_flight=99), GO),
        ("mail", state(in_flight=1, limit=2), GO),
        ("mail", state(in_flight=2, limit=2), Wait(inf, "its 2 slots are taken")),
        ("mail", state(in_flight=3, limit=2), Wait(inf, "its 2 slots are taken")),
        ("mail", state(in_flight=1, limit=1), Wait(inf, "its slot is taken")),
        ("other", state(in_flight=2, limit=2), GO),
        ("mail", state(unconfirmed=2), Wait(inf, UNCONFIRMED)),
        ("other", state(unconfirmed=2), Wait(inf, UNCONFIRMED)),
        ("mail", state(in_flight=2, limit=2, unconfirmed=2), Wait(inf, UNCONFIRMED)),
    ],
)
def test_each_row_of_the_table(queue: str, state_of_worker: GateState, expected: Go | Wait) -> None:
    """A queue waits for its own slots, and every queue waits for unconfirmed settlements."""
    assert may_begin(queue, 0.0, state_of_worker) == expected


def test_the_longest_wait_counts_and_the_first_of_equal_ones() -> None:
    """An event begins when all terms allow it."""
    waits = {"a": Wait(1.0, "a"), "b": Wait(3.0, "b"), "c": Wait(3.0, "c"), "d": None}
    terms = tuple(lambda queue, now, state, wait=wait: wait for wait in waits.values())
    assert longest_wait("mail", 0.0, state(), terms) == waits["b"]


def test_a_term_gets_the_time_of_the_caller() -> None:
    """The gate itself reads no clock."""
    terms = (lambda queue, now, state: Wait(10.0 - now, "ten o'clock") if now < 10.0 else None,)
    assert longest_wait("mail", 4.0, state(), terms) == Wait(6.0, "ten o'clock")
    assert longest_wait("mail", 10.0, state(), terms) == GO


def metered(tokens: float = 1.0, promised: int = 0, **more: Any) -> GateState:
    """Return the state of a worker with a share of 2 events a second of the queue `mail`."""
    bucket = Bucket(rate=2.0, capacity=2.0, tokens=tokens, at=0.0)
    return GateState({"mail": 1}, {}, 0, buckets={"mail": bucket}, promised={"mail": promised}, **more)


RATE = "its rate: this worker has 2 a second"
TAKEN = Wait(inf, "its slots of the whole site are taken")


@pytest.mark.parametrize(
    ("queue", "state_of_worker", "expected"),
    [
        ("mail", metered(), GO),
        ("mail", metered(tokens=0.0), Wait(0.5, RATE)),
        ("mail", metered(promised=1), Wait(0.5, RATE)),
        ("other", metered(tokens=0.0), GO),
        ("mail", GateState({}, {}, 0, buckets={"mail": None}), Wait(inf, UNKNOWN)),
        ("mail", metered(site_slots={"mail": 2}), GO),
        ("mail", metered(site_slots={"mail": 1}), TAKEN),
        ("mail", metered(tokens=0.0, site_slots={"mail": 0}), TAKEN),
        ("other", metered(site_slots={"mail": 0}), GO),
    ],
)
def test_limits_of_the_whole_site(queue: str, state_of_worker: GateState, expected: Go | Wait) -> None:
    """A queue waits for its share of a rate, which counts the events in line, and for its slots of the whole site."""
    assert may_begin(queue, 0.0, state_of_worker) == expected
