"""A handler that is out of time is ended from outside, whatever it is stuck in, and leaves word of where it was."""

import time

import pytest

from bridge.ledger import Letter
from tests.journey.pool_site import PoolSite, error_output
from tests.journey.site import Program, eventually

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)

ONE_TRY = "deadline = '1s'\nretry = {attempts = 1}\n"


async def _letter(pool: PoolSite, step: str) -> tuple[Letter, Program]:
    """Let one event run out of time, and return what is left of it."""
    pool.site.configure(ONE_TRY)
    await pool.site.defer("do.this", step)
    worker = pool.worker("--until-settled")
    assert await worker.ended() == 0, worker.log
    (letter,) = await pool.site.letters()
    assert letter.error.type == "timeout"
    (ran,) = pool.site.effects(step=step)
    assert ran.pid not in pool.site.processes
    return letter, worker


@pytest.mark.parametrize("step", ["stuck", "stuck-in-c"])
async def test_the_transcript_has_the_stack_of_what_ran_out_of_time(pool: PoolSite, step: str) -> None:
    """In Python or in C."""
    letter, _ = await _letter(pool, step)
    told = error_output(letter)
    assert "most recent call first" in told
    assert step.replace("-", "_") in told
    assert "pooled.py" in told


async def test_the_stacks_are_those_of_all_threads(pool: PoolSite) -> None:
    """The one that is stuck may not be the main one."""
    letter, _ = await _letter(pool, "threads")
    assert error_output(letter).count("most recent call first") >= 2
    assert "in stuck_in_here" in error_output(letter)
    assert "in threads" in error_output(letter)


async def test_a_handler_that_can_clean_up_may(pool: PoolSite) -> None:
    """SIGTERM comes first, and interrupts what runs for nobody any more."""
    await _letter(pool, "tidy")
    assert len(pool.site.effects(step="tidied")) == 1


async def test_a_handler_that_is_deaf_to_signals_is_ended_all_the_same(pool: PoolSite) -> None:
    """By SIGKILL, soon after; it cannot tell where it was."""
    began = time.time()
    letter, _ = await _letter(pool, "deaf")
    assert "most recent call first" not in error_output(letter)
    assert time.time() - began < 15


async def test_the_place_of_one_that_is_out_of_time_is_taken_before_it_has_ended(pool: PoolSite) -> None:
    """The slot works again at the deadline, by the spare."""
    pool.site.configure(ONE_TRY)
    worker = pool.worker("--children", "1")
    await eventually(lambda: bool(pool.pids("spare")), report=lambda: worker.log)
    (spare,) = pool.pids("spare")
    await pool.site.defer("do.this", "deaf")
    await pool.site.defer("do.this", "ok")
    await eventually(lambda: len(pool.site.effects(step="ok")) == 2, report=lambda: worker.log)
    assert pool.site.effects(step="ok")[0].pid == spare
    (slot,) = pool.slots("idle")
    assert (slot["restarts"], slot["why"]) == (1, "ran out of time after 1 s")
