"""A slot that is an own child: what it printed before its reply belongs to that event, however late it is read."""

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest

from bridge.outcome import Exchange, Reply
from worker.child_slot import ChildSlot
from worker.pool.child import Child
from worker.pool.output import Output
from worker.transport import Transport

PARAMETERS = {"HTTP_CE_TYPE": "mail.sent", "HTTP_CE_ID": "e1", "BRIDGE_QUEUE": "mail", "BRIDGE_ATTEMPT": "1"}


@dataclass(eq=False)
class Printing:
    """A child, its transport and its keeper in one: it prints, and its reply is there in the same step."""

    output: Output
    say: Callable[[bytes], object]
    pid: int = 17
    usable: bool = True
    requests: list[object] = field(default_factory=list)

    async def exchange(self, parameters: object, body: bytes, deadline: float, *, keep: bool) -> Exchange:
        if body:
            self.say(body)
        return Reply(200, {}, error_output=b"from the app")

    def served(self, child: Child) -> None:
        self.requests.append(child)

    def condemn(self, child: Child, why: str) -> None:
        raise AssertionError(why)


async def test_what_is_still_in_the_pipe_when_the_reply_comes_is_of_that_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged with the event and in its transcript; the next event has none of it."""
    caplog.set_level(logging.INFO, "bridge")
    reading, writing = os.pipe()
    output = Output(reading, 17, lambda *_: None)
    printing = Printing(output, lambda data: os.write(writing, data))
    slot = ChildSlot(cast("Child", printing), cast("Transport", printing), printing)
    first = await slot.exchange(PARAMETERS, b"hello\n", 5)
    second = await slot.exchange({**PARAMETERS, "HTTP_CE_ID": "e2"}, b"", 5)
    os.write(writing, b"idle\n")
    async with asyncio.timeout(5):
        while "idle" not in caplog.messages:
            await asyncio.sleep(0)
    assert isinstance(first, Reply)
    assert isinstance(second, Reply)
    assert (first.error_output, second.error_output) == (b"hello\nfrom the app", b"from the app")
    told = [(record.getMessage(), vars(record).get("id")) for record in caplog.records]
    assert told == [("hello", "e1"), ("from the app", "e1"), ("from the app", "e2"), ("idle", None)]
    assert len(printing.requests) == 2
    output.close()
    os.close(writing)
