"""Which workers of a site are missing, by what workers recorded and by who answered."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.logs import Content, encode_record
from bridge.registry import MISSING_FOR, Sighting, Step, answer_of, expected_of, record_of, roll_of, sighting_of
from bridge.status import WorkerStatus, from_object, to_json
from tests.unit.bridge.examples import NOW
from tests.unit.bridge.statuses import BUSY, WORKER

HOUR = timedelta(hours=1)


def seen(step: Step, ago: timedelta, instance: str = "a", pid: int = 11) -> Sighting:
    """Return a sighting at this time before `NOW`."""
    return Sighting(step, NOW - ago, instance, "web1", pid, "shop:app")


def received(answer: Content) -> Content:
    """Return an answer after it went over the broker."""
    found: Content = json.loads(encode_record(answer))
    return found


def missing(*sightings: Sighting, answers: tuple[Content, ...] = ()) -> list[tuple[int, timedelta]]:
    """Return the process ids of the missing workers, and when they were last seen."""
    return [(each.pid, NOW - each.seen) for each in roll_of(answers, expected_of(sightings, NOW)).missing]


def test_a_worker_that_recorded_no_end_is_missing() -> None:
    """It was last seen at its last sighting, in whatever order the sightings are read."""
    sightings = [seen("running", HOUR), seen("started", 2 * HOUR)]

    assert missing(*sightings) == missing(*reversed(sightings)) == [(11, HOUR)]


def test_a_worker_that_ended_is_not_missing() -> None:
    """Its end counts even if its clock was set back before it."""
    assert missing(seen("started", HOUR), seen("ended", 2 * HOUR)) == []


def test_a_worker_that_answers_is_not_missing() -> None:
    """It is listed by its answer."""
    expected = expected_of([seen("started", HOUR, WORKER.instance)], NOW)

    roll = roll_of([received(to_json(WORKER))], expected)

    assert (roll.workers, roll.missing) == ((WORKER,), ())


def test_a_process_id_is_used_again() -> None:
    """In a container every worker has the process id 1: each instance counts for itself."""
    assert missing(seen("started", 2 * HOUR, "a", 1), seen("ended", HOUR, "b", 1)) == [(1, 2 * HOUR)]


def test_a_worker_is_not_missing_for_ever() -> None:
    """After a day nobody waits for it."""
    assert missing(seen("started", MISSING_FOR)) == [(11, MISSING_FOR)]
    assert missing(seen("started", MISSING_FOR + timedelta(seconds=1))) == []


def test_a_worker_of_another_version() -> None:
    """Its answer cannot be shown, but it is not missing."""
    expected = expected_of([seen("started", HOUR, WORKER.instance)], NOW)

    roll = roll_of([{**to_json(WORKER), "format": 99}], expected)

    assert (roll.workers, roll.missing) == ((), ())
    assert "has the format 99" in roll.unreadable[0]


def test_an_answer_that_is_no_status() -> None:
    """Anything may be sent as an answer."""
    assert len(roll_of([{}, {"instance": 7}, {"kind": "worker"}], {}).unreadable) == 3


def test_an_answer_fits_into_a_record() -> None:
    """A worker with many slots leaves them out and counts them; one with few has them all."""
    many = replace(WORKER, slots=(BUSY,) * 2000, trouble="x" * 100_000)

    brief, whole = from_object(received(answer_of(many))), from_object(received(answer_of(WORKER)))

    assert isinstance(brief, WorkerStatus)
    assert (brief.slots, brief.slots_omitted) == ((), 2000)
    assert whole == WORKER


def test_a_sighting_in_the_log() -> None:
    """It is read as it was written."""
    sighting = replace(seen("started", HOUR), time=NOW.replace(microsecond=0))

    assert sighting_of(json.loads(encode_record(record_of(sighting)))) == sighting


@pytest.mark.parametrize("changes", [{"step": "lost"}, {"at": "now"}, {"pid": -1}, {"instance": None}, {"host": 7}])
def test_a_record_that_is_no_sighting(changes: dict[str, Any]) -> None:
    """It is ignored."""
    assert sighting_of({**record_of(seen("started", HOUR)), **changes}) is None
    assert sighting_of({}) is None
