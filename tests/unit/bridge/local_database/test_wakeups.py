"""Wake-ups: whom a commit wakes."""

import asyncio
from pathlib import Path

import pytest

from bridge.local_database.wakeups import CALLER_MARK, CONSUMER_MARK, LISTENER_MARK, SERVER_MARK, Wakeup, Wakeups
from tests.limits import PATIENCE

MARKS = (CONSUMER_MARK, LISTENER_MARK, SERVER_MARK, CALLER_MARK)


@pytest.mark.parametrize("woken", MARKS)
async def test_only_those_with_the_mark_are_woken(tmp_path: Path, woken: str) -> None:
    """A FIFO with another mark gets nothing."""
    database = tmp_path / "bridge.db"
    database.touch()
    wakeups = {mark: Wakeup.make(database, mark) for mark in MARKS}
    heard: list[str] = []
    any_heard = asyncio.Event()

    def hear(mark: str) -> None:
        heard.append(mark)
        any_heard.set()

    for mark, wakeup in wakeups.items():
        wakeup.listen(lambda mark=mark: hear(mark))  # type: ignore[misc]

    Wakeups(database).wake_others({woken, None})

    async with asyncio.timeout(PATIENCE):
        await any_heard.wait()
    for _ in range(3):
        await asyncio.sleep(0)
    assert heard == [woken]
    for wakeup in wakeups.values():
        wakeup.end()


def test_no_mark_wakes_nobody(tmp_path: Path) -> None:
    """A commit that concerns nobody does not even look for FIFOs."""
    database = tmp_path / "missing" / "bridge.db"

    Wakeups(database).wake_others({None})
