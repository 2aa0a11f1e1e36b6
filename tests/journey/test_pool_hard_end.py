"""The worker ends a child whose handler is beyond the deadline; the dead letter has the child's stacks."""

import time
from collections.abc import Callable

import pytest

from tests.journey.pool_site import PoolSite, error_output
from tests.journey.site import eventually
from tests.limits import PATIENCE

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)

FIRST = "most recent call first"
ONE_TRY = "deadline = '1s'\nretry = {attempts = 1}\n"


async def _timed_out(pool: PoolSite, step: str, complete: Callable[[str], bool]) -> None:
    """Let events time out until the error output in the dead letter is complete. A child without CPU does not begin the
    step, write its stacks or clean up in time, and the next event has another chance. No child outlives its event."""
    pool.site.configure(ONE_TRY)
    end = time.monotonic() + PATIENCE
    while True:
        (event,) = await pool.site.defer("do.this", step)
        worker = pool.worker("--until-settled")
        assert await worker.ended() == 0, worker.log
        (letter,) = (letter for letter in await pool.site.letters() if letter.envelope.event.id == event)
        assert letter.error.type == "timeout"
        ran = pool.site.effects(step=step)
        assert not {effect.pid for effect in ran} & {*pool.site.processes}
        if ran and complete(error_output(letter)):
            return
        assert time.monotonic() < end, error_output(letter)


@pytest.mark.parametrize("step", ["stuck", "stuck-in-c"])
async def test_the_transcript_has_the_stack_of_the_timeout(pool: PoolSite, step: str) -> None:
    """The transcript has the stack of a handler that is stuck in Python or in C."""
    function = f"in {step.replace('-', '_')}"

    await _timed_out(pool, step, lambda stacks: all(text in stacks for text in (FIRST, function, "pooled.py")))


async def test_the_stacks_are_those_of_all_threads(pool: PoolSite) -> None:
    """The transcript has the stacks of all threads, since another thread than the main one may be stuck."""
    functions = ("in stuck_in_here", "in threads")

    await _timed_out(
        pool, "threads", lambda stacks: stacks.count(FIRST) >= 2 and all(text in stacks for text in functions)
    )


async def test_a_handler_that_can_clean_up_may(pool: PoolSite) -> None:
    """The worker sends SIGTERM first, which lets the handler's `finally` run."""
    await _timed_out(pool, "tidy", lambda _: bool(pool.site.effects(step="tidied")))


async def test_a_handler_that_blocks_signals_is_killed(pool: PoolSite) -> None:
    """The worker ends a child that blocks signals by SIGKILL soon after; its transcript has no stacks."""
    await _timed_out(pool, "deaf", lambda output: FIRST not in output)


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

    def replaced() -> bool:
        return [(slot["restarts"], slot["why"]) for slot in pool.slots("idle")] == [(1, "timed out after 1 s")]

    await eventually(replaced, report=lambda: worker.log)
