"""When a release of the app runs everywhere."""

from dataclasses import replace

import pytest

from bridge.status import SlotStatus, WorkerStatus
from dead_letter.released import missing
from tests.unit.bridge.statuses import WORKER


def _worker(newest: str | None, *children: str | None, retiring: str | None = None) -> WorkerStatus:
    slots = [SlotStatus(slot=1, state="idle", release=each) for each in children]
    return replace(WORKER, release=newest, slots=(*slots, SlotStatus(slot=None, state="retiring", release=retiring)))


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        ([], "no worker of the site answers with a release"),
        ([_worker(None, None)], "no worker of the site answers with a release"),
        ([_worker("v43", "v43"), _worker(None)], ""),
        ([_worker("v43", "v43", retiring="v42")], ""),
        ([_worker("v43", "v42", "v43"), _worker("v43")], "1 of 2 workers run it, others run v42"),
        ([_worker("v41", "v42")], "0 of 1 workers run it, others run v41, v42"),
    ],
)
def test_a_release_runs_everywhere_if_all_children_run_it(workers: list[WorkerStatus], expected: str) -> None:
    """Children that take no further event do not count, nor do workers without a release."""
    assert missing("v43", workers) == expected
