"""Unconfirmed settlements: how long they hold up other events."""

import asyncio
from collections.abc import Callable

import pytest

from tests.limits import PATIENCE
from worker.events import unconfirmed
from worker.events.unconfirmed import Unconfirmed


class Books:
    """Unconfirmed settlements, and what they told."""

    def __init__(self) -> None:
        self.held: list[bool] = []
        self.stuck: list[str] = []
        self.all = Unconfirmed(lambda: "", self.held.append, self.stuck.append)


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


async def test_others_are_held_back_from_the_first_to_the_last() -> None:
    """Two settlements hold back once, and let go when both are confirmed."""
    books = Books()
    for event in ("a", "b", "a"):
        books.all.add(event, "no answer")
    assert (len(books.all), books.all.holding, books.held) == (2, 2, [True])

    books.all.remove("a")
    assert books.held == [True]
    books.all.remove("b")
    books.all.remove("b")

    assert (len(books.all), books.all.holding, books.held, books.stuck) == (0, 0, [True, False], [])


async def test_a_settlement_that_is_never_confirmed_lets_others_begin_after_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It still counts as unconfirmed, so that the worker is not ready. Its confirmation later changes nothing more."""
    monkeypatch.setattr(unconfirmed, "HOLDS_UP_FOR", 0.01)
    books = Books()
    books.all.add("a", "no answer")

    await until(lambda: books.held == [True, False])

    assert (len(books.all), books.all.holding, books.stuck) == (1, 0, ["a"])
    books.all.add("a", "no answer")
    books.all.remove("a")
    assert (len(books.all), books.held) == (0, [True, False])


async def test_a_later_settlement_has_a_time_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is stuck, another one holds up again until it is confirmed."""
    monkeypatch.setattr(unconfirmed, "HOLDS_UP_FOR", 0.01)
    books = Books()
    books.all.add("a", "no answer")
    await until(lambda: books.held == [True, False])
    monkeypatch.setattr(unconfirmed, "HOLDS_UP_FOR", 60.0)

    books.all.add("b", "no answer")
    books.all.remove("b")

    assert (len(books.all), books.held) == (1, [True, False, True, False])
