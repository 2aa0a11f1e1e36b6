"""The look for missing workers: which of them are told."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.errors import BrokerRefused, BrokerUnavailable
from bridge.moments import Moment, WorkerMissing
from bridge.registry import Missing, Roll
from tests.limits import PATIENCE
from worker.control.missing_workers import MissingWorkers


class Claims:
    """A broker whose claim is free, unless it refuses."""

    held = True

    def __init__(self, refusals: int = 0) -> None:
        self._refusals = refusals

    @asynccontextmanager
    async def claim(self, name: str) -> AsyncIterator["Claims"]:
        """Hold the claim."""
        if self._refusals:
            self._refusals -= 1
            raise BrokerRefused("no permission")
        yield self


def missing(pid: int, ago: timedelta = timedelta()) -> Missing:
    """Return a missing worker that recorded itself so long ago."""
    return Missing("web2", pid, "shop:app", datetime.now(UTC) - ago)


async def told(claims: Claims, *looks: list[Missing] | Exception) -> list[int]:
    """Return the pids of the workers that are told, if these are the results of the looks."""
    moments: list[Moment] = []
    left = list(looks)
    ended = asyncio.Event()

    async def ask() -> Roll:
        if not left:
            ended.set()
            await asyncio.Event().wait()
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return Roll((), tuple(found))

    looking = MissingWorkers(cast(Broker, claims), moments.append, ask, every=0.0, confirm_after=0.0)
    task = asyncio.create_task(looking.run())
    async with asyncio.timeout(PATIENCE):
        await ended.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return [moment.pid for moment in moments if isinstance(moment, WorkerMissing)]


async def test_a_worker_that_is_missing_twice_is_told_once() -> None:
    """One that was only late to answer is not told."""
    late, gone = missing(1), missing(2)
    assert await told(Claims(), [], [late], [], [gone], [gone], [gone], [gone]) == [2]


async def test_a_worker_that_takes_over_tells_no_old_news() -> None:
    """What has been missing for hours at its first look was told before."""
    old, new = missing(1, timedelta(hours=2)), missing(2)
    assert await told(Claims(), [old, new], [old, new], [old, new]) == [2]


async def test_a_look_that_fails_is_no_reason_to_tell_again() -> None:
    """The worker gets the claim again, and knows what it has told."""
    gone = missing(1)
    failed = BrokerUnavailable("away")
    assert await told(Claims(), [], [gone], [gone], failed, [gone], [gone], [gone]) == [1]


async def test_a_broker_that_refuses_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The look goes on when the broker permits it, and after it was away."""
    gone = missing(2)
    with caplog.at_level(logging.WARNING):
        pids = await told(Claims(refusals=3), BrokerUnavailable("away"), [gone], [gone], [gone])

    assert pids == [2]
    reasons = [record.getMessage() for record in caplog.records if "not looked for" in record.getMessage()]
    assert reasons == [f"missing workers are not looked for: {why}; trying again" for why in ("no permission", "away")]
