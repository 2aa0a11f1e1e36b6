"""An ordeal that fails says what is left where."""

import asyncio

import pytest

from tests.faults.conftest import marks
from tests.faults.directed import defer
from tests.faults.ordeal import BOTH
from tests.faults.stage import Stage
from tests.faults.stages import Stages


async def leave_some(stage: Stage) -> None:
    """Leave three events in the queue, and run out of patience."""
    await defer(stage, "left", "ok", count=3)
    stage.start_publisher()
    await stage.reaches("effect", 1, within=1.0)


@pytest.mark.parametrize("on", [pytest.param(on, marks=marks(on, long=on != "sqlite")) for on in BOTH])
def test_a_failed_ordeal_says_what_is_left_where(stages: Stages, on: str) -> None:
    """Each queue by its name, the spool, the programs that run and their output."""
    with pytest.raises(AssertionError) as failed, stages.stage(on) as stage:
        queue = stage.queue if on == "rabbitmq" else "default"
        asyncio.run(leave_some(stage))

    (note,) = failed.value.__notes__
    assert f"queue {queue}: " in note
    assert "spool: 0 events" in note
    assert "tests.faults.publisher" in note.partition("running ")[2]
    assert "1 of 1 more 'effect' lines are missing" in str(failed.value)
