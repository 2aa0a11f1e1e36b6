"""Records that are appended soon, if the broker fails."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest

from bridge.back_off import BackOff
from bridge.brokers.any_broker import record_log
from bridge.brokers.any_broker.record_log import RecordLog
from bridge.deadline import Deadline
from bridge.errors import BrokerUnavailable
from bridge.logs import AppendUnconfirmed, Batch, decode_batch
from tests.limits import PATIENCE


class Batches:
    """A log of batches that raises the given errors, one for each append, and then appends."""

    def __init__(self, *errors: Exception) -> None:
        self.batches: list[bytes] = []
        self.closed = False
        self.called = asyncio.Event()
        self.appended = asyncio.Event()
        self._errors = list(errors)

    async def append(self, data: bytes, deadline: Deadline) -> None:
        self.called.set()
        if self._errors:
            raise self._errors.pop(0)
        self.batches.append(data)
        self.appended.set()

    def read(self, after: int) -> AsyncGenerator[Batch, None]:
        raise NotImplementedError

    def read_back(self) -> AsyncGenerator[Batch, None]:
        raise NotImplementedError

    def follow(self, after: int | None) -> AbstractAsyncContextManager[AsyncIterator[Batch]]:
        raise NotImplementedError

    async def close(self) -> None:
        self.closed = True

    def numbers(self) -> list[list[int]]:
        """Return the number in each record of each batch."""
        return [[record.content["n"] for record in decode_batch(Batch(0, data))[0]] for data in self.batches]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write batches at once, and again soon."""
    monkeypatch.setattr(record_log, "GATHER_SECONDS", 0.0)
    monkeypatch.setattr(record_log, "WRITE_BACK_OFF", BackOff(first=0.01, at_most=PATIENCE, jitter=0.0))


async def test_a_broker_that_is_away() -> None:
    """Records wait for an unreachable broker, in order, and are then written together."""
    batches = Batches(BrokerUnavailable("away"), BrokerUnavailable("away"))
    log = RecordLog("notes", batches)
    for number in range(3):
        log.append_soon({"n": number})

    async with asyncio.timeout(PATIENCE):
        await batches.appended.wait()

    assert batches.numbers() == [[0, 1, 2]]
    assert log.dropped == 0


async def test_a_log_that_cannot_be_written_for_long(caplog: pytest.LogCaptureFixture) -> None:
    """It is tried again after longer and longer waits. Each new reason is logged once, and the recovery."""
    caplog.set_level("INFO", record_log.log.name)
    batches = Batches(*[BrokerUnavailable("away")] * 3, BrokerUnavailable("the disk is full"))
    log = RecordLog("notes", batches)
    began = time.monotonic()
    log.append_soon({"n": 0})

    async with asyncio.timeout(PATIENCE):
        await batches.appended.wait()
    await log.close()

    assert time.monotonic() - began > 0.01 + 0.02 + 0.04 + 0.08
    assert [each.message for each in caplog.records if each.name == record_log.log.name] == [
        "log notes: away; 1 records wait for another try",
        "log notes: the disk is full; 1 records wait for another try",
        "log notes: its records are written again",
    ]


async def test_a_close_waits_for_no_other_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """The records that wait for another try are tried at once."""
    monkeypatch.setattr(record_log, "WRITE_BACK_OFF", BackOff(first=PATIENCE, at_most=PATIENCE))
    batches = Batches(BrokerUnavailable("away"))
    log = RecordLog("notes", batches)
    log.append_soon({"n": 0})
    async with asyncio.timeout(PATIENCE):
        await batches.called.wait()

    await log.close()

    assert batches.numbers() == [[0]]


async def test_what_may_be_there_is_not_written_again() -> None:
    """A batch that was not confirmed is not written again, and the next one is."""
    batches = Batches(AppendUnconfirmed("perhaps"))
    log = RecordLog("notes", batches)
    log.append_soon({"n": 0})
    async with asyncio.timeout(PATIENCE):
        await batches.called.wait()

    log.append_soon({"n": 1})
    await log.close()

    assert batches.numbers() == [[1]]


async def test_a_batch_that_was_not_confirmed_is_no_recovery(caplog: pytest.LogCaptureFixture) -> None:
    """The log is written again only when a batch is confirmed."""
    caplog.set_level("INFO", record_log.log.name)
    batches = Batches(BrokerUnavailable("away"), AppendUnconfirmed("perhaps"))
    log = RecordLog("notes", batches)
    log.append_soon({"n": 0})
    async with asyncio.timeout(PATIENCE):
        await batches.called.wait()
    log.append_soon({"n": 1})

    await log.close()

    assert "log notes: its records are written again" not in caplog.messages


async def test_closed_without_a_broker(caplog: pytest.LogCaptureFixture) -> None:
    """Records that cannot be written are counted as dropped and logged; the log is closed."""
    batches = Batches(*[BrokerUnavailable("away")] * 100)
    log = RecordLog("notes", batches)
    for number in range(3):
        log.append_soon({"n": number})

    await log.close()

    assert (log.dropped, batches.closed) == (3, True)
    assert "closing; 3 records were not written" in caplog.text


async def test_batches_are_bounded() -> None:
    """A batch has at most its number of bytes; the next batch has the other records."""
    batches = Batches()
    log = RecordLog("notes", batches)
    for number in range(10):
        log.append_soon({"n": number, "filling": "x" * 60_000})

    await log.close()

    assert batches.numbers() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
