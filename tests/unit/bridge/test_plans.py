"""Plans of redrives: their records, their fold, and when a plan must end."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from bridge.event import format_time
from bridge.ledger_keys import NO_KEYS, LedgerKeys
from bridge.logs import encode_record
from bridge.plans import SILENT_AFTER, Plan, PlanRecords, Plans, Progress, step_sizes, story_to_json, why_abort

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
RECORDS = PlanRecords("shop", NO_KEYS)
PLAN = Plan("4b7d2a10", (1, 2, 3, 7, 9, 10), 10, 0.02, 300.0, None, "ann@web1", "é", NOW)


def _folded(*contents: Any, keys: LedgerKeys = NO_KEYS) -> Plans:
    plans = Plans()
    for content in contents:
        plans.add(content, "shop", keys)
    return plans


def test_a_plan_is_read_as_it_was_written() -> None:
    """With all its letters, however many records they take."""
    scattered = replace(PLAN, letters=tuple(range(0, 200_000, 2)))

    for plan in (PLAN, scattered, replace(PLAN, letters=(5,), abort_over=0.05)):
        records = list(RECORDS.of_plan(plan))
        for record in records:
            encode_record(record)  # raises TooLarge
        plans = _folded(*records)
        assert plans.stories[PLAN.id].plan == plan
        assert plans.skipped == 0


def test_letters_that_are_close_together_take_one_record() -> None:
    """100,000 letters that died one after the other are one range."""
    assert len(list(RECORDS.of_plan(replace(PLAN, letters=tuple(range(100_000)))))) == 2


def test_the_state_follows_the_records() -> None:
    """A plan runs, is to stop, is stopped, and runs again when it is resumed."""
    records = [*RECORDS.of_plan(PLAN), RECORDS.begin(PLAN.id, "web1, pid 7", NOW)]

    def state(later: timedelta = timedelta(0)) -> str:
        return _folded(*records).stories[PLAN.id].state(NOW + later)

    assert (state(), state(2 * SILENT_AFTER)) == ("running", "interrupted")
    records.append(RECORDS.stop(PLAN.id, "bob@web2", NOW))
    assert (state(), state(2 * SILENT_AFTER)) == ("stopping", "interrupted")
    records.append(RECORDS.end(PLAN.id, "stopped", "stopped by bob@web2", NOW))
    assert state(2 * SILENT_AFTER) == "stopped"
    records.append(RECORDS.begin(PLAN.id, "web2, pid 8", NOW))
    assert state() == "running"
    records.append(RECORDS.progress(PLAN.id, Progress(6, 0, 5, 1), NOW + SILENT_AFTER))
    assert state(SILENT_AFTER) == "running"
    records.append(RECORDS.end(PLAN.id, "done", "", NOW))
    assert story_to_json(_folded(*records).stories[PLAN.id], NOW) == {
        "plan": "4b7d2a10",
        "state": "done",
        "why_ended": None,
        "letters": 6,
        "redriven": 6,
        "skipped": 0,
        "delivered": 5,
        "failed": 1,
        "canary": 10,
        "interval": 0.02,
        "wait": 300.0,
        "abort_over": None,
        "who": "ann@web1",
        "why": "é",
        "time": format_time(NOW),
        "where": "web2, pid 8",
        "last": format_time(NOW),
    }


@pytest.mark.parametrize(
    "record",
    [
        {"kind": "pause"},
        {"kind": "begin", "plan": "unknown", "time": "2026-03-01T03:00:00Z", "where": "x"},
        {"kind": "walk", "plan": PLAN.id, "time": "2026-03-01T03:00:00Z"},
        {"kind": "letters", "plan": PLAN.id, "time": "2026-03-01T03:00:00Z", "ranges": [[0, 2**60]]},
        {"kind": "letters", "plan": PLAN.id, "time": "2026-03-01T03:00:00Z", "ranges": [[1], "x"]},
        {"kind": "progress", "plan": PLAN.id, "time": "2026-03-01T03:00:00Z", "redriven": -1},
        {"kind": "plan", "plan": "x", "time": "2026-03-01T03:00:00Z", "canary": "ten"},
        {"kind": ["plan"], "plan": PLAN.id, "time": "2026-03-01T03:00:00Z"},
    ],
    ids=str,
)
def test_a_damaged_record_is_counted(record: dict[str, Any]) -> None:
    """It changes nothing, and takes no memory."""
    plans = _folded(*RECORDS.of_plan(PLAN), record)

    assert plans.skipped == 1
    assert {id: story.plan for id, story in plans.stories.items()} == {PLAN.id: PLAN}


def test_with_a_key_only_signed_records_count() -> None:
    """Nobody else can stop a plan, or add letters to it."""
    keys = LedgerKeys(("sixteen-characters",))
    signed = PlanRecords("shop", keys)

    plans = _folded(*signed.of_plan(PLAN), RECORDS.stop(PLAN.id, "mallory", NOW), keys=keys)

    assert (plans.skipped, plans.stories[PLAN.id].stop_wished) == (1, False)


def test_steps_double() -> None:
    """From the canary on."""
    assert list(islice(step_sizes(10), 4)) == [10, 20, 40, 80]


@pytest.mark.parametrize(
    ("over", "size", "failed", "reappeared", "expected"),
    [
        (None, 10, 0, 0, ""),
        (None, 10, 1, 0, ""),
        (None, 10, 2, 0, "2 of 10 events failed, more than 10%"),
        (None, 1000, 1, 1, "the failure is back: 1 of 1,000 events failed as before"),
        (0.05, 100, 5, 5, ""),
        (0.05, 100, 6, 0, "6 of 100 events failed, more than 5%"),
        (0.0, 10, 1, 0, "1 of 10 events failed, more than 0%"),
        (1.0, 10, 10, 10, ""),
        (None, 0, 0, 0, ""),
    ],
)
def test_a_plan_ends_if_too_many_fail(
    over: float | None, size: int, failed: int, reappeared: int, expected: str
) -> None:
    """Without a part of its own, one event that fails as before is too many."""
    assert why_abort(replace(PLAN, abort_over=over), size, failed, reappeared) == expected
