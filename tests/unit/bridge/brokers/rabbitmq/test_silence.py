"""A silence of RabbitMQ towards publishes is noticed once, and again after each further silence."""

import asyncio

import pytest

from bridge.brokers.rabbitmq.publishing import silence
from bridge.brokers.rabbitmq.publishing.silence import Silence
from tests.limits import PATIENCE


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a silence short."""
    monkeypatch.setattr(silence, "SILENT_SECONDS", 0.01)


class Doubts:
    """Counts the doubts."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self._changed.set()

    async def become(self, count: int) -> None:
        """Wait for this number of doubts."""
        async with asyncio.timeout(PATIENCE):
            while self.count < count:
                self._changed.clear()
                await self._changed.wait()


async def test_a_publish_that_waits_is_doubted_again_and_again() -> None:
    """A publish that gets no answer causes a doubt after each silence."""
    doubts = Doubts()
    with Silence(doubts).waiting():
        await doubts.become(2)


async def test_a_publish_that_has_waited_in_vain_is_doubted() -> None:
    """A publish whose time ended before the silence was long enough is doubted too, once."""
    doubts = Doubts()
    with pytest.raises(TimeoutError), Silence(doubts).waiting():
        raise TimeoutError
    await doubts.become(1)
    await asyncio.sleep(0.05)  # time for a second doubt, which must not come
    assert doubts.count == 1


async def test_an_answer_ends_the_silence() -> None:
    """Publishes that are answered cause no doubt, also if others have waited in vain before."""
    doubts = Doubts()
    quiet = Silence(doubts)
    with pytest.raises(TimeoutError), quiet.waiting():
        raise TimeoutError
    with quiet.waiting():
        pass
    with pytest.raises(ValueError, match="an answer"), quiet.waiting():
        raise ValueError("an answer")
    await asyncio.sleep(0.05)  # time for a doubt, which must not come
    assert doubts.count == 0
