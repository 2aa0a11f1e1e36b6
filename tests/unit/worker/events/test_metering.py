"""The metered queues of a worker: tokens, slots of the whole site, and how many deliveries are held."""

import pytest

from bridge.queues import Queue
from bridge.rate import Rate
from worker.events.metering import Meter

QUEUES = (Queue("mail", rate=Rate(10, "s")), Queue("one", site_slots=2), Queue("default"))


def test_a_token_is_promised_and_then_taken() -> None:
    """An event that has passed the gate has a token, which it takes when it begins; one that leaves the line returns
    its token."""
    meter = Meter.of(QUEUES)
    meter.share("mail", 1, 0.0)

    meter.passed("mail", "a")
    meter.passed("mail", "b")
    assert meter.promised == {"mail": 2}
    meter.left("mail", "b")
    meter.begun("mail", "a", 5.0)

    bucket = meter.buckets["mail"]
    assert bucket is not None
    assert meter.promised == {"mail": 0}
    assert bucket.wait(5.0) == pytest.approx(0.1)


def test_other_queues_are_not_metered() -> None:
    """Nothing is kept for them."""
    meter = Meter.of(QUEUES)

    for note in (meter.passed, meter.left):
        note("default", "a")
    meter.begun("default", "a", 0.0)

    assert meter.queues == {"mail", "one"}
    assert Meter.of([Queue("default")]) == Meter()


def test_a_share_that_is_not_known_stays_unknown() -> None:
    """And one that was known stays as it was, when the number of workers is not known any more."""
    meter = Meter.of(QUEUES)
    meter.share("mail", None, 0.0)
    assert meter.buckets == {"mail": None}

    meter.share("mail", 2, 0.0)
    known = meter.buckets["mail"]
    meter.share("mail", None, 1.0)
    assert meter.buckets["mail"] == known


def test_a_queue_has_the_room_of_its_slots() -> None:
    """At most the slots of the whole site that this worker has."""
    meter = Meter.of(QUEUES)
    assert meter.rooms({"mail": 4, "one": 4, "default": 4}) == {"mail": 4, "one": 0, "default": 4}

    meter.site_slots["one"] = 1
    assert meter.rooms({"mail": 4, "one": 4, "default": 4})["one"] == 1


@pytest.mark.parametrize(
    ("workers", "running", "held"),
    [(None, 0, 1), (1, 0, 8), (10, 0, 1), (10, 1, 2), (10, 3, 4), (10, 40, 32)],
)
def test_how_many_deliveries_are_held(workers: int | None, running: int, held: int) -> None:
    """Those that run, and those that may begin within half a second, rounded up to a power of two, at most the slots. A
    queue without a limit holds as many as before, and one without slots of the whole site none."""
    meter = Meter.of(QUEUES)
    meter.share("mail", workers, 0.0)

    found = meter.prefetch(
        {"mail": 512, "one": 512, "default": 512}, {"mail": 32, "one": 0, "default": 32}, {"mail": running}
    )

    assert found == {"mail": held, "one": 0, "default": 512}
