"""The flushes to the disk in forged strace output of a publisher: each event must be there before it is confirmed."""

from pathlib import Path

import pytest

from tests.faults.syncs import unsynced

HISTORY, FILE = Path("/site/history"), Path("/site/bridge.db-wal")


def note(what: str, key: str, thread: int = 1) -> str:
    """A line of the history, as strace shows that it is written."""
    text = f'{{\\"what\\": \\"{what}\\", \\"at\\": 1.5, \\"key\\": \\"{key}\\", \\"pid\\": 7}}\\n'
    return f'{thread}  write(3<{HISTORY}>, "{text}", 60) = 60'


def sync(path: Path = FILE, result: str = "0", thread: int = 9) -> str:
    return f"{thread}  fdatasync(8<{path}>)  = {result}"


BEGUN = f"9  fdatasync(8<{FILE}> <unfinished ...>"
ENDED = "9  <... fdatasync resumed>)  = 0"


@pytest.mark.parametrize(
    "trace",
    [
        [note("invoke", "a"), sync(), note("ok", "a")],
        [note("invoke", "a"), BEGUN, ENDED, note("ok", "a")],
        [note("invoke", "a"), note("invoke", "b", 2), sync(), note("ok", "b", 2), note("ok", "a")],
        [note("invoke", "a")],
    ],
    ids=["synced", "synced while others went on", "two at once", "not confirmed"],
)
def test_what_is_synced_before_it_is_confirmed_passes(trace: list[str]) -> None:
    """One sync that begins after an event was invoked and ends before its confirmation is enough for it."""
    assert unsynced(trace, FILE, HISTORY) == []


@pytest.mark.parametrize(
    "trace",
    [
        [note("invoke", "a"), note("ok", "a"), sync()],
        [note("invoke", "a"), BEGUN, note("ok", "a"), ENDED],
        [BEGUN, note("invoke", "a"), ENDED, note("ok", "a")],
        [note("invoke", "a"), sync(Path("/site/bridge.db")), note("ok", "a")],
        [note("invoke", "a"), sync(result="-1 EIO (Input/output error)"), note("ok", "a")],
    ],
    ids=["synced too late", "sync not ended", "sync begun before", "another file synced", "sync failed"],
)
def test_what_is_confirmed_before_it_is_synced_is_found(trace: list[str]) -> None:
    """A sync that is over too late, began too early, failed, or was another file's, counts for nothing."""
    assert unsynced(trace, FILE, HISTORY) == ["a"]
