"""SQLite only: one file is one broker by whatever name a program opens it."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.brokers.contract.claims import ClaimTaken
from bridge.brokers.contract.findings import FindingState
from bridge.brokers.contract.inspection import SiteOnBroker
from bridge.brokers.opening import inspect, open_broker
from bridge.config.settings import load_settings
from bridge.errors import BrokerRefused
from bridge.local_database import one_name
from bridge.publishing.spool.spool_file import SpoolFile
from bridge.publishing.spool.store import Store
from bridge.publishing.spool.summary import spooled
from bridge.queues import Queue
from tests.contract.acts import an_event, consuming, take
from tests.deadlines import within
from tests.limits import PATIENCE


def linked_folder(path: Path) -> Path:
    """Name the file through a link to its folder, as a deploy's `current` does."""
    link = path.parent.parent / "current"
    link.symlink_to(path.parent, target_is_directory=True)
    return link / path.name


def linked_file(path: Path) -> Path:
    """Name the file through a relative link to it in another folder."""
    folder = path.parent.parent / "elsewhere"
    folder.mkdir()
    (folder / "other.db").symlink_to(Path("..") / path.parent.name / path.name)
    return folder / "other.db"


def two_links(path: Path) -> Path:
    """Name the file through a link to a link."""
    link = path.parent.parent / "second"
    link.symlink_to(linked_folder(path))
    return link


def with_dots(path: Path) -> Path:
    """Name the file by a way with `..` in it."""
    return path.parent / ".." / path.parent.name / path.name


OTHER_NAMES = pytest.mark.parametrize("other_name", [linked_folder, linked_file, two_links, with_dots])
OtherName = Callable[[Path], Path]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a database file, which does not exist yet, in a folder of its own."""
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared" / "bridge.db"


@OTHER_NAMES
async def test_a_held_event_is_held_for_all_names(path: Path, other_name: OtherName) -> None:
    """An event that a consumer holds under one name of the file is not delivered under another name, even if the names
    were given before the file existed."""
    first, second = open_broker(f"sqlite:///{path}", "bridge"), open_broker(f"sqlite:///{other_name(path)}", "bridge")
    await second.declare([Queue("default")])
    await first.publisher().publish(an_event("held"))
    held = await take(await consuming(first, "default"))
    assert held.envelope.event.name == "held"

    consumer = await consuming(second, "default", prefetch=2)  # releases the events of ended consumers when it starts
    await second.publisher().publish(an_event("next"))

    assert (await take(consumer)).envelope.event.name == "next"
    await held.ack()
    await asyncio.gather(first.close(), second.close())


@OTHER_NAMES
async def test_a_claim_is_one_for_all_names(path: Path, other_name: OtherName) -> None:
    """A claim that is held under one name of the file is taken under another name."""
    first, second = open_broker(f"sqlite:///{path}", "bridge"), open_broker(f"sqlite:///{other_name(path)}", "bridge")
    async with first.claim("nightly"):
        with pytest.raises(ClaimTaken):
            async with second.claim("nightly"):
                pass
    await asyncio.gather(first.close(), second.close())


@OTHER_NAMES
async def test_a_publish_wakes_consumers_of_all_names(path: Path, other_name: OtherName) -> None:
    """A consumer finds the wake-ups of a publisher that uses another name."""
    first, second = open_broker(f"sqlite:///{path}", "bridge"), open_broker(f"sqlite:///{other_name(path)}", "bridge")
    await first.declare([Queue("default")])
    consumer = await consuming(first, "default")

    await second.publisher().publish(an_event("woken"))

    async with asyncio.timeout(PATIENCE):
        assert (await consumer.receive()).envelope.event.name == "woken"
    assert [each.parent for each in path.parent.parent.rglob("*.worker-*")] == [path.parent]
    await asyncio.gather(first.close(), second.close())


@OTHER_NAMES
async def test_a_spool_has_one_relay_for_all_names(path: Path, other_name: OtherName) -> None:
    """Two processes that name the spool in two ways do not relay it at the same time."""
    first, second = (Store(SpoolFile(each, 1024**2, "bridge")) for each in (path, other_name(path)))
    await first.add(an_event("spooled"), None, within(PATIENCE))

    assert first.lock()
    assert not second.lock()

    assert [each.read()[0].name for each in await second.read(0, 10)] == ["spooled"]
    first.unlock()
    assert second.lock()
    await asyncio.gather(first.close(), second.close())


@OTHER_NAMES
def test_settings_have_the_one_name(path: Path, other_name: OtherName) -> None:
    """Programs with two names of one file have the same settings, so that the worker and the app agree."""
    other = other_name(path)
    one, two = (
        load_settings(environ={"BRIDGE_BROKER_URL": f"sqlite:///{each}", "BRIDGE_SPOOL": f"{each}"}).values
        for each in (path, other)
    )

    assert (one.broker_url, one.spool) == (two.broker_url, two.spool) == (f"sqlite:///{path}", str(path))


def test_settings_keep_the_characters_of_a_path(tmp_path: Path) -> None:
    """A path with `%`, `?`, `#` and spaces is decoded once and written back as it was."""
    path = tmp_path / "50% a?b#c %41.db"
    url = f"sqlite:///{tmp_path}/50%25%20a%3Fb%23c%20%2541.db"

    settings = load_settings(environ={"BRIDGE_BROKER_URL": url}).values

    assert settings.broker_url == url
    assert open_broker(settings.broker_url, "bridge").name == f"SQLite {path}"
    assert open_broker(
        load_settings(environ={"BRIDGE_BROKER_URL": settings.broker_url}).values.broker_url, "b"
    ).name == (f"SQLite {path}")


async def refusal(path: Path) -> str:
    """Return the message with which the broker refuses the file."""
    broker = open_broker(f"sqlite:///{path}", "bridge")
    with pytest.raises(BrokerRefused) as error:
        await broker.declare([Queue("default")])
    await broker.close()
    return str(error.value)


@pytest.mark.parametrize("by_second_name", [False, True])
async def test_a_hard_link_is_refused(path: Path, by_second_name: bool) -> None:
    """A file with two names that cannot be seen as one is refused by both names, and nothing is written."""
    broker = open_broker(f"sqlite:///{path}", "bridge")
    await broker.declare([Queue("default")])
    await broker.close()
    other = path.with_name("other.db")
    os.link(path, other)
    used = other if by_second_name else path

    message = await refusal(used)

    assert message.startswith(f"SQLite database {used}: it has 2 names (hard links)")
    assert f"find / -xdev -samefile {used}" in message
    assert sorted(each.name for each in path.parent.iterdir()) == ["bridge.db", "other.db"]
    other.unlink()
    await broker_that_works(path)


async def broker_that_works(path: Path) -> None:
    """Use the file, which must not be refused."""
    broker = open_broker(f"sqlite:///{path}", "bridge")
    await broker.declare([Queue("default")])
    await broker.close()


async def test_a_hard_link_of_a_spool_is_refused(path: Path) -> None:
    """A spool with two names would be published twice: the store and the programs that only look refuse it."""
    store = Store(SpoolFile(path, 1024**2, "bridge"))
    await store.add(an_event(), None, within(PATIENCE))
    await store.close()
    os.link(path, path.with_name("other.db"))
    store = Store(SpoolFile(path.with_name("other.db"), 1024**2, "bridge"))

    with pytest.raises(BrokerRefused, match="2 names"):
        await store.waiting()
    with pytest.raises(BrokerRefused, match="2 names"):
        spooled(path, "bridge")

    await store.close()


async def test_the_doctor_tells_of_a_hard_link(path: Path) -> None:
    """The doctor's finding names the file and how to find its other names."""
    await broker_that_works(path)
    os.link(path, path.with_name("other.db"))

    examination = await inspect(SiteOnBroker(f"sqlite:///{path}", "bridge", [Queue("default")]))

    finding = examination.findings[0]
    assert (examination.reached, finding.state) == (False, FindingState.WRONG)
    assert f"{path}: it has 2 names (hard links)" in finding.sentence


async def test_a_file_that_is_mounted_alone_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is a mount point has its journal in two places; a mounted folder is one place."""
    await broker_that_works(path)
    mounts = path.with_name("mountinfo")
    line = "36 35 98:0 /mnt1 {} rw,noatime shared:1 - ext3 /dev/root rw\n"
    monkeypatch.setattr(one_name, "_MOUNTS", mounts)
    mounts.write_text(line.format(path.parent) + line.format(path.with_name("bridge")))
    await broker_that_works(path)
    mounts.write_text(line.format("/") + line.format(path))

    assert "this file alone is mounted" in await refusal(path)


async def test_a_folder_that_becomes_a_link_is_refused(path: Path) -> None:
    """A broker whose folder was replaced by a link after the start would make its locks under another name."""
    broker = open_broker(f"sqlite:///{path}", "bridge")
    path.parent.rename(path.parent.with_name("moved"))
    path.parent.symlink_to("moved")

    with pytest.raises(BrokerRefused, match=f"{path}: it leads to {path.parent.with_name('moved')}/bridge.db now"):
        await broker.declare([Queue("default")])

    await broker.close()
