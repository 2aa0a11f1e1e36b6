"""The watcher that gathers attempts into records of the history."""

import asyncio

import pytest

from bridge.history import Entry, entries_of
from bridge.logs import Content, encode_record
from bridge.moments import Progressed, Settled, Taken
from bridge.outcome import Succeeded
from bridge.progress_records import progress_of, record_of
from bridge.settlement import Ack
from bridge.watchers import history
from bridge.watchers.history import HistoryWatcher
from tests.limits import PATIENCE
from tests.unit.bridge.examples import envelope, event


class Appended:
    """The records that were appended, none larger than the log takes."""

    def __init__(self) -> None:
        self.records: list[Content] = []
        self.any = asyncio.Event()

    def __call__(self, content: Content) -> None:
        encode_record(content)
        self.records.append(content)
        self.any.set()

    @property
    def entries(self) -> list[Entry]:
        """All attempts, in order."""
        return [entry for record in self.records for entry in entries_of(record)]


def settled(name: str = "account.created") -> Settled:
    """Return the moment of a success."""
    return Settled(envelope(event=event(name=name)), "mail", Succeeded(), Ack(), 0.1)


async def test_attempts_are_gathered() -> None:
    """Attempts of a moment are one record, which is appended without a further attempt; other moments are ignored."""
    appended = Appended()
    watcher = HistoryWatcher(appended)
    for name in ("a.b", "c.d"):
        watcher(settled(name))
    watcher(Taken(envelope(), "mail"))
    assert appended.records == []

    async with asyncio.timeout(PATIENCE):
        await appended.any.wait()

    assert len(appended.records) == 1
    assert [entry.name for entry in appended.entries] == ["a.b", "c.d"]


async def test_many_attempts_wait_for_no_time() -> None:
    """A full record is appended at once."""
    appended = Appended()
    watcher = HistoryWatcher(appended)
    for _ in range(history.MOST_ROWS):
        watcher(settled())

    assert len(appended.entries) == history.MOST_ROWS


async def test_the_rest_at_the_end() -> None:
    """A flush appends what was gathered, once."""
    appended = Appended()
    watcher = HistoryWatcher(appended)
    watcher(settled())

    watcher.flush()
    watcher.flush()

    assert len(appended.entries) == len(appended.records) == 1


def progressed(done: float, id: str = "e1", note: str = "resizing") -> Progressed:
    """Return the moment of a progress."""
    return Progressed("do.this", id, "mail", 1, done, 10, note)


async def test_the_newest_progress_of_each_event() -> None:
    """It is written before the end of its event, and what it replaced is not written."""
    appended = Appended()
    watcher = HistoryWatcher(appended)
    ended = settled()
    for moment in (progressed(1, ended.event.id), progressed(5, "e2"), progressed(3, ended.event.id), ended):
        watcher(moment)

    assert len(appended.records) == 1
    watcher.flush()
    watcher.flush()

    first, second = appended.records
    found = {each.id: str(each.progress) for each in progress_of(first)}
    assert found == {ended.event.id: "3 of 10, resizing", "e2": "5 of 10, resizing"}
    assert len(list(entries_of(second))) == 1
    assert list(entries_of(first)) == []


async def test_a_progress_waits_for_no_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written soon, although its event goes on."""
    monkeypatch.setattr(history, "PROGRESS_SECONDS", 0.01)
    appended = Appended()
    HistoryWatcher(appended)(progressed(1, note="x" * 100_000))

    async with asyncio.timeout(PATIENCE):
        await appended.any.wait()

    assert len(list(progress_of(appended.records[0]))) == 1


@pytest.mark.parametrize("row", [[], 7, *([1.0, "e1", "do", "mail", 1, done, None, ""] for done in ("3", True, 1e300))])
def test_a_progress_that_cannot_be_read(row: object) -> None:
    """It is left out, and the others are read."""
    good = [1.0, "e1", "do", "mail", 1, 3, None, ""]

    found = list(progress_of(record_of([row, good], "web1", 11)))  # type: ignore[list-item]

    assert [str(each.progress) for each in found] == ["3"]


@pytest.mark.parametrize("character", ["x", "𝄞"])
async def test_long_names_are_divided(character: str) -> None:
    """Attempts whose names do not fit into one record are several records, in order."""
    appended = Appended()
    watcher = HistoryWatcher(appended)
    names = [f"{number}{character * 990}" for number in range(history.MOST_ROWS)]
    for name in names:
        watcher(settled(name))

    assert [entry.name for entry in appended.entries] == names
    assert len(appended.records) > 1
