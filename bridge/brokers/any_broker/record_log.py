"""A log of records on top of a broker's log of batches: encodes and decodes records, and collects those that need no
confirm into batches.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bridge.back_off import BackOff
from bridge.brokers.contract.logs import APPEND_SECONDS, BatchLog, Records
from bridge.deadline import Deadline
from bridge.errors import BridgeError
from bridge.logs import (
    BEFORE_ALL,
    MAX_BATCH,
    RECORDS_A_BATCH,
    AppendUnconfirmed,
    Content,
    encode_batch,
    encode_record,
    number_of,
    text_in_records,
)

GATHER_SECONDS = 0.2
"""The time that `append_soon` waits for more records before a batch is written."""

MOST_WAITING = 4 * 1024**2
"""Bytes of records that wait while the broker is unreachable. Further records are dropped."""

FLUSH_SECONDS = 2.0

WRITE_BACK_OFF = BackOff(first=0.2, at_most=5.0)
"""Between tries to write a batch."""

log = logging.getLogger(__name__)


class RecordLog:
    """See the contract."""

    def __init__(self, name: str, batches: BatchLog) -> None:
        self.dropped = 0
        self._name = name
        self._batches = batches
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    async def append(self, content: Content, *, deadline: Deadline | None = None) -> None:
        """Append a record, confirmed."""
        await self._batches.append(encode_record(content), deadline or _default_deadline())

    def append_soon(self, content: Content) -> None:
        """Append a record soon, unconfirmed."""
        line = encode_record(content)
        if self._waiting_bytes + len(line) > MOST_WAITING:
            if not self.dropped:
                log.warning("log %s: dropping records: %d bytes wait already", self._name, self._waiting_bytes)
            self.dropped += 1
            return
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_soon(), name=f"log {self._name}")

    def read(self, after: int = BEFORE_ALL) -> Records:
        """Return an iterator over the records after this position."""
        return Records(self._batches.read(number_of(after) - 1), after)

    def read_back(self, having: str = "") -> Records:
        """Return an iterator over the records with this text, newest first."""
        return Records(self._batches.read_back(), BEFORE_ALL, backwards=True, having=text_in_records(having))

    @asynccontextmanager
    async def follow(self, after: int | None = None) -> AsyncIterator[Records]:
        """Iterate without end over the records after this position, or over new ones."""
        async with self._batches.follow(None if after is None else number_of(after) - 1) as batches:
            yield Records(batches, BEFORE_ALL if after is None else after)

    async def close(self) -> None:
        """Append the records that still wait, within some 2 s, and close."""
        self._hurry.set()
        if self._writer is not None:
            await asyncio.wait({self._writer}, timeout=FLUSH_SECONDS)
            self._writer.cancel()
        if self._waiting:
            log.warning("log %s: closing; %d records were not written and are dropped", self._name, len(self._waiting))
            self.dropped += len(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
        await self._batches.close()

    async def _write_soon(self) -> None:
        trouble, failures, pause = "", 0, GATHER_SECONDS
        while self._waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._hurry.wait()
            try:
                is_confirmed = await self._write_batch()
            except BridgeError as error:
                if str(error) != trouble:
                    trouble = str(error)
                    log.warning("log %s: %s; %d records wait for another try", self._name, error, len(self._waiting))
                if self._hurry.is_set():
                    return
                failures += 1
                pause = WRITE_BACK_OFF.wait(failures, random.random())
            else:
                if is_confirmed:
                    if trouble:
                        log.info("log %s: its records are written again", self._name)
                    trouble, failures, pause = "", 0, GATHER_SECONDS

    async def _write_batch(self) -> bool:
        """Write the oldest records that fit into one batch. They keep waiting if they were not written. Return False if
        nobody knows whether they were."""
        lines: list[bytes] = []
        size = 0
        for line in self._waiting:
            if lines and (size + len(line) >= MAX_BATCH or len(lines) == RECORDS_A_BATCH):
                break
            lines.append(line)
            size += len(line) + 1
        is_confirmed = True
        try:
            await self._batches.append(encode_batch(lines), _default_deadline())
        except AppendUnconfirmed as error:
            is_confirmed = False
            log.warning(
                "log %s: %s; %d records may be missing and are not written again", self._name, error, len(lines)
            )
        for line in lines:
            self._waiting.popleft()
            self._waiting_bytes -= len(line)
        return is_confirmed


def _default_deadline() -> Deadline:
    return Deadline.after(APPEND_SECONDS, time.monotonic())
