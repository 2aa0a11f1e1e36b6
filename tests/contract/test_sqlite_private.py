"""SQLite only: the files of a running broker can be used by its user alone, or by its group."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.brokers.opening import open_broker, open_existing
from bridge.errors import BrokerUnavailable
from bridge.publishing.spool.spool_file import SpoolFile
from bridge.publishing.spool.store import Store
from bridge.queues import Queue
from tests.contract.acts import an_event, consuming
from tests.deadlines import within
from tests.limits import PATIENCE


@pytest.fixture(autouse=True, params=[0o000, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run the test with this umask."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> list[int]:
    """Return the permissions of each file in a folder."""
    return [stat.S_IMODE(each.lstat().st_mode) for each in folder.iterdir()]


@pytest.mark.parametrize(("group", "mode"), [(None, 0o600), (os.getegid(), 0o660)])
async def test_all_files_of_a_broker(tmp_path: Path, group: int | None, mode: int) -> None:
    """The database, its journal, leases, claims and wake-ups have the same mode."""
    broker = open_broker(f"sqlite:///{tmp_path}/bridge.db", "bridge", file_group=group)
    await broker.declare([Queue("default")])
    await consuming(broker, "default")

    async with (
        broker.claim("nightly"),
        broker.ledger().deciding(),
        broker.broadcast("s").listen(lambda content: None),  # type: ignore[arg-type,return-value]
    ):
        await broker.publisher().publish(an_event())
        assert modes(tmp_path) == [mode] * 7

    await broker.close()


async def test_all_files_of_a_spool(tmp_path: Path) -> None:
    """The spool, its journal and the lock of its relay are for one user."""
    store = Store(SpoolFile(tmp_path / "spool.db", 1024**2, "bridge"))
    await store.add(an_event(), None, within(PATIENCE))
    assert store.lock()

    assert modes(tmp_path) == [0o600] * 4

    await store.close()


async def test_a_program_that_makes_no_file(tmp_path: Path) -> None:
    """A file that is removed after the start is not made again by a program that only uses an existing one."""
    path = tmp_path / "bridge.db"
    url = f"sqlite:///{path}"
    with pytest.raises(BrokerUnavailable, match=f"there is no file {path}"):
        open_existing(url, "bridge")
    first = open_broker(url, "bridge")
    await first.declare([Queue("default")])
    await first.close()
    broker = open_existing(url, "bridge")
    path.unlink()

    with pytest.raises(BrokerUnavailable, match=f"there is no SQLite database {path}: the app"):
        await broker.declare([Queue("default")])

    assert modes(tmp_path) == []
    await broker.close()
