"""A slot that is an own child: lines that the child prints before its reply belong to that event."""

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from bridge.child_protocol import Extend, Extended, Progress
from bridge.fastcgi import EncodedRequest
from bridge.moments import Moment, Progressed
from bridge.outcome import Exchange, Reply
from tests.unit.worker.requests import a_request
from worker.pool.child import Child
from worker.pool.output import Output
from worker.slots.child_slot import ChildSlot
from worker.slots.transport import Transport


@dataclass
class FakeNews:
    """A double of the pool's end of a child's news."""

    on_news: Callable[[Progress | Extend], None] = lambda news: None
    answers: list[Extended] = field(default_factory=list)

    def answer(self, answer: Extended) -> None:
        self.answers.append(answer)


@dataclass(eq=False)
class Printing:
    """A double of a child, its transport and its keeper: it prints, and replies in the same step."""

    output: Output
    say: Callable[[bytes], object]
    pid: int = 17
    usable: bool = True
    requests: list[object] = field(default_factory=list)
    news: FakeNews = field(default_factory=FakeNews)
    granted: list[tuple[float, float]] = field(default_factory=list)

    def extend(self, seconds: float, at_most: float) -> bool:
        self.granted.append((seconds, at_most))
        return seconds < at_most

    async def exchange(self, request: EncodedRequest, deadline: float, *, keep: bool, room: int) -> Exchange:
        if request.body:
            self.say(request.body)
        return Reply(200, {}, error_output=b"from the app")

    def served(self, child: Child) -> None:
        self.requests.append(child)

    def condemn(self, child: Child, why: str) -> None:
        raise AssertionError(why)

    def cut_off(self, child: Child) -> None:
        raise AssertionError(child)


async def test_lines_in_the_pipe_when_the_reply_comes_belong_to_that_event(caplog: pytest.LogCaptureFixture) -> None:
    """They are logged with the event and are in its transcript, and not in that of the next event."""
    caplog.set_level(logging.INFO, "bridge")
    reading, writing = os.pipe()
    output = Output(reading, 17, lambda *_: None)
    printing = Printing(output, lambda data: os.write(writing, data))
    slot = ChildSlot(cast("Child", printing), cast("Transport", printing), printing)
    first = await slot.exchange(a_request(b"hello\n"), 5)
    second = await slot.exchange(a_request(id="e2"), 5)
    os.write(writing, b"idle\n")
    async with asyncio.timeout(5):
        while "idle" not in caplog.messages:
            await asyncio.sleep(0)
    assert isinstance(first, Reply)
    assert isinstance(second, Reply)
    assert (first.error_output, second.error_output) == (b"hello\nfrom the app", b"from the app")
    logged = [(record.getMessage(), vars(record).get("id")) for record in caplog.records]
    assert logged == [("hello", "e1"), ("from the app", "e1"), ("from the app", "e2"), ("idle", None)]
    assert len(printing.requests) == 2
    output.close()
    os.close(writing)


async def test_news_count_for_the_event_that_runs_only() -> None:
    """Progress of it is kept and told, printable. That of another event is dropped, and its request for time denied."""
    reading, writing = os.pipe()
    moments: list[Moment] = []
    printing = Printing(Output(reading, 17, lambda *_: None), lambda data: tell_news())
    slot = ChildSlot(cast("Child", printing), cast("Transport", printing), printing, moments.append)
    kept: list[Progress | None] = []

    def tell_news() -> None:
        for news in (
            Progress("e1", 3, 10, "re\x1bsizing"),
            Progress("e0", 9, 9, "of before"),
            Extend("e1", 1, 30.0),
            Extend("e1", 2, 300.0),
            Extend("e0", 3, 30.0),
        ):
            printing.news.on_news(news)
        kept.append(slot.progress)

    request = replace(a_request(b"news", id="e1"), deadline_at_most=60.0)
    await slot.exchange(request, 5)
    printing.news.on_news(Progress("e1", 10, 10, "too late"))
    printing.news.on_news(Extend("e1", 4, 30.0))
    os.close(writing)

    (progressed,) = moments
    assert isinstance(progressed, Progressed)
    assert (progressed.name, progressed.id, progressed.done, progressed.total) == (request.event, "e1", 3, 10)
    assert "\x1b" not in progressed.note
    assert kept[0] is not None
    assert kept[0].note == progressed.note
    assert printing.granted == [(30.0, 60.0), (300.0, 60.0)]
    assert printing.news.answers == [Extended(1, True), Extended(2, False), Extended(3, False), Extended(4, False)]
    assert slot.progress is None
