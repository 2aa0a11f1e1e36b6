"""The worker ends a child whose handler is beyond the deadline; the dead letter has the child's stacks."""

import pytest

from bridge.ledger import Letter
from tests.journey.pool_site import PoolSite, error_output
from tests.journey.site import Program, eventually

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)

ONE_TRY = "deadline = '1s'\nretry = {attempts = 1}\n"


async def _letter(pool: PoolSite, step: str) -> tuple[Letter, Program]:
    """Let one event time out; return its dead letter, and the worker."""
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
async def test_the_transcript_has_the_stack_of_the_timeout(pool: PoolSite, step: str) -> None:
    """The transcript has the stack of a handler that is stuck in Python or in C."""
    letter, _ = await _letter(pool, step)
    stacks = error_output(letter)
    assert "most recent call first" in stacks
    assert step.replace("-", "_") in stacks
    assert "pooled.py" in stacks


async def test_the_stacks_are_those_of_all_threads(pool: PoolSite) -> None:
    """The transcript has the stacks of all threads, since another thread than the main one may be stuck."""
    letter, _ = await _letter(pool, "threads")
    assert error_output(letter).count("most recent call first") >= 2
    assert "in stuck_in_here" in error_output(letter)
    assert "in threads" in error_output(letter)


async def test_a_handler_that_can_clean_up_may(pool: PoolSite) -> None:
    """The worker sends SIGTERM first, which lets the handler's `finally` run."""
    await _letter(pool, "tidy")
    assert len(pool.site.effects(step="tidied")) == 1


async def test_a_handler_that_blocks_signals_is_killed(pool: PoolSite) -> None:
    """The worker ends a child that blocks signals by SIGKILL soon after; its transcript has no stacks."""
    letter, _ = await _letter(pool, "deaf")
    assert "most recent call first" not in error_output(letter)


async def test_the_spare_takes_the_slot_before_the_child_has_ended(pool: PoolSite) -> None:
    """At the deadline the spare takes over the slot, while the old child still runs."""
    pool.site.configure(
        "retry = {attempts = 1}\n[queues.deaf]\npatterns = ['do.deaf']\ndeadline = '1s'\n[queues.default]\n"
    )
    worker = pool.worker("--children", "1")
    await eventually(lambda: bool(pool.pids("spare")), report=lambda: worker.log)
    (spare,) = pool.pids("spare")
    await pool.site.defer("do.deaf", "deaf")
    await eventually(lambda: bool(pool.site.effects(step="deaf")), report=lambda: worker.log)
    await pool.site.defer("do.this", "ok")
    await eventually(lambda: len(pool.site.effects(step="ok")) == 2, report=lambda: worker.log)
    assert pool.site.effects(step="ok")[0].pid == spare
    (slot,) = pool.slots("idle")
    assert (slot["restarts"], slot["why"]) == (1, "timed out after 1 s")
