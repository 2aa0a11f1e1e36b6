"""SQLite only: the wake-ups of calls, and what a closed caller does."""

import asyncio
import time

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.sqlite.calling import caller as calling_module
from bridge.call import AnswerKind
from bridge.deadline import Deadline
from bridge.errors import CallLost
from bridge.queues import Queue
from tests.contract.acts import eventually
from tests.contract.calling import MAIL, question, serving
from tests.contract.conftest import OpenBroker
from tests.contract.sqlite_site import SqliteSite
from tests.limits import PATIENCE


@pytest.fixture
def site(sqlite_site: SqliteSite) -> SqliteSite:
    """A file of this test's own."""
    return sqlite_site


@pytest.fixture
async def brokers(another_broker: OpenBroker) -> list[Broker]:
    """The brokers of two processes, with the queue declared."""
    brokers = [another_broker() for _ in range(2)]
    await brokers[0].declare([Queue("mail")])
    return brokers


async def test_closed_before_the_question_is_written(brokers: list[Broker]) -> None:
    """A caller that closes while its question is on its way to the file hears `CallLost`, and waits for nothing."""
    caller = brokers[1].caller()
    async with serving(brokers[0], "mail", respond=None):
        asking = asyncio.create_task(caller.ask(question(), MAIL, Deadline.after(PATIENCE, time.monotonic())))
        await asyncio.sleep(0)

        await caller.close()

        with pytest.raises(CallLost):
            await asking


async def test_the_wake_up_stays_between_calls(
    site: SqliteSite, brokers: list[Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller makes one wake-up file for calls that follow each other, and removes it some time after the last."""

    def found() -> list[str]:
        return [path.name for path in site.path.parent.glob("*.caller-*")]

    async def look() -> list[str]:
        return found()

    caller = brokers[1].caller()
    deadline = Deadline.after(PATIENCE, time.monotonic())
    async with serving(brokers[0], "mail"):
        files = []
        for _ in range(3):
            assert (await caller.ask(question(), MAIL, deadline)).kind is AnswerKind.ANSWERED
            files += found()
        assert len(files) == 3 * len(set(files))

        monkeypatch.setattr(calling_module, "KEPT_SECONDS", 0.0)

        await eventually(look, lambda names: names == [])
        assert (await caller.ask(question(), MAIL, deadline)).kind is AnswerKind.ANSWERED
    await caller.close()
    assert found() == []
