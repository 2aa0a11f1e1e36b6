"""The worker's own pool with a real app: what becomes of events in flight when children crash, hang, are slow, are
killed or are replaced."""

import asyncio
import random
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bridge.moments import ChildLost, Progressed
from bridge.outcome import BrokenOff, OutOfTime, Reply
from tests.limits import LONG, PATIENCE
from tests.unit.worker.slots.own_pool import OwnPoolSite, a_request, delivered, own_pool
from worker.slots import child_slot, depth
from worker.slots.slots import NoSlotToCome, Ran

EVENTS, KILLS = 1500, 30


@pytest.fixture(autouse=True)
def deep(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Send as many events to a child as it may have, however slow this machine is."""
    monkeypatch.setattr(depth, "WORK_SENT", 3600.0)
    yield


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recall nothing because of its time."""
    monkeypatch.setattr(child_slot, "RECALLED_AFTER", 3600.0)


async def ended(*tasks: asyncio.Task[Ran]) -> list[Ran]:
    """Wait for the ends of events."""
    async with asyncio.timeout(PATIENCE):
        return await asyncio.gather(*tasks)


def in_flight(site: OwnPoolSite) -> int:
    """Return how many events are in flight in the children."""
    return sum(len(runs) for runs in site.slots._leased.values())


@pytest.mark.parametrize("recalled_after", [0.005, 3600.0])
async def test_random_kills_charge_at_most_the_event_that_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recalled_after: float
) -> None:
    """Each kill breaks off one event at most. Every event ends once, and none has run twice."""
    monkeypatch.setattr(child_slot, "RECALLED_AFTER", recalled_after)
    chance = random.Random(recalled_after)
    async with own_pool(tmp_path, children=2, spare=1) as site:
        await site.warm()
        room = asyncio.Semaphore(2 * 16)
        ends: dict[str, Ran] = {}
        kills = 0

        async def run(id: str) -> None:
            nonlocal kills
            name = "slow" if chance.random() < 0.01 else "fast"
            ends[id] = await site.slots.exchange(a_request(id, name), PATIENCE)
            room.release()

        async with asyncio.timeout(LONG), asyncio.TaskGroup() as tasks:
            for number in range(EVENTS):
                await room.acquire()
                tasks.create_task(run(f"e{number}"))
                busy = [slot for slot in site.slots._leased if slot.usable and slot.pid is not None]
                if busy and kills * EVENTS < number * KILLS:
                    with suppress(ProcessLookupError):  # killed just now, and its slot has not noticed yet
                        site.kill(chance.choice([slot.pid for slot in busy if slot.pid is not None]))
                        kills += 1
                    await asyncio.sleep(chance.choice([0.0, 0.001, 0.01]))
        begun, over = site.noted("begun"), site.noted("ended")
        replied = [id for id, ran in ends.items() if isinstance(ran.exchange, Reply)]
        broken = [id for id, ran in ends.items() if isinstance(ran.exchange, BrokenOff)]
    assert kills >= KILLS - 1
    assert len(replied) + len(broken) == len(ends) == EVENTS
    assert len(broken) <= kills
    assert max(begun.values()) == 1
    assert all(begun[id] == over[id] == 1 for id in replied)


@pytest.mark.parametrize(("name", "how"), [("leave", "exit status 9"), ("crash", "SIGSEGV"), ("hang", "")])
@pytest.mark.usefixtures("patient")
async def test_a_fault_is_charged_to_the_event_that_has_it(tmp_path: Path, name: str, how: str) -> None:
    """Those behind it in the same child run elsewhere, and it is their first attempt."""
    async with own_pool(tmp_path) as site:
        await site.warm()
        before = [site.send("first", "gated"), site.send("before-1"), site.send("before-2")]
        faulty = site.send("faulty", name, deadline=1.0 if name == "hang" else PATIENCE)
        behind = [site.send(f"behind-{number}") for number in range(8)]
        await site.begun("first")
        assert in_flight(site) == 12
        site.go()
        assert all(delivered(await ended(*before, *behind)))
        (ran,) = await ended(faulty)
        begun = site.noted("begun")
        lost = [moment for moment in site.moments if isinstance(moment, ChildLost)]
    if name == "hang":
        assert isinstance(ran.exchange, OutOfTime)
        assert b"time.sleep" in ran.exchange.error_output or b"in hang" in ran.exchange.error_output
    else:
        assert isinstance(ran.exchange, BrokenOff)
        assert how in ran.exchange.why
    assert set(begun.values()) == {1}
    assert [moment.event for moment in lost] == [name]


async def test_a_slow_event_holds_up_nobody_while_another_child_is_free(tmp_path: Path) -> None:
    """All that was sent behind it has ended while it runs."""
    async with own_pool(tmp_path, children=2) as site:
        await site.warm()
        slow = site.send("slow", "gated")
        others = [site.send(f"e{number}") for number in range(31)]
        assert all(delivered(await ended(*others)))
        assert not slow.done()
        site.go()
        assert delivered(await ended(slow)) == [True]
        assert set(site.noted("begun").values()) == {1}


async def test_what_is_recalled_waits_for_its_child_if_there_is_no_other(tmp_path: Path) -> None:
    """It runs after the slow one, in order."""
    async with own_pool(tmp_path) as site:
        await site.warm()
        slow = site.send("slow", "gated")
        others = [site.send(f"e{number}") for number in range(5)]
        await site.begun("slow")
        async with asyncio.timeout(PATIENCE):
            while in_flight(site) > 1:
                await asyncio.sleep(0.001)
        site.slots.recall(lambda request: request.id == "e2")
        site.go()
        (recalled,) = await asyncio.gather(others.pop(2), return_exceptions=True)
        assert isinstance(recalled, NoSlotToCome)
        assert all(delivered(await ended(slow, *others)))
        assert list(site.noted("begun")) == ["slow", "e0", "e1", "e3", "e4"]


@pytest.mark.usefixtures("patient")
async def test_each_event_has_its_own_output(tmp_path: Path) -> None:
    """Of many in flight: what it prints, what it writes to the descriptor, and what it logs."""
    async with own_pool(tmp_path) as site:
        await site.warm()
        ids = [f"e{number}" for number in range(32)]
        for id, ran in zip(ids, await ended(*(site.send(id, "printing") for id in ids)), strict=True):
            assert isinstance(ran.exchange, Reply)
            lines = ran.exchange.error_output.decode().splitlines()
            assert sorted(lines[:2]) == [f"printed by {id}", f"written by {id}"]
            assert len(lines) == 3
            assert lines[2].endswith(f"logged by {id}")


@pytest.mark.usefixtures("patient")
async def test_sigterm_lets_the_event_that_runs_end(tmp_path: Path) -> None:
    """Somebody ends a child. Those behind the one that runs go to the next child, and nobody is charged."""
    async with own_pool(tmp_path) as site:
        await site.warm()
        tasks = [site.send("gated", "gated"), *(site.send(f"e{number}") for number in range(8))]
        await site.begun("gated")
        site.kill(site.pids()[0], signal.SIGTERM)
        site.go()
        assert all(delivered(await ended(*tasks)))
        assert set(site.noted("begun").values()) == {1}


@pytest.mark.usefixtures("patient")
async def test_sigterm_ends_a_child_that_waits_for_a_token(tmp_path: Path) -> None:
    """It has a request whose token was taken back, and nothing else to do."""
    async with own_pool(tmp_path) as site:
        await site.warm()
        (pid,) = site.pids()
        tasks = [site.send("gated", "gated"), site.send("e1")]
        await site.begun("gated")
        site.slots.recall(lambda request: request.id == "e1")
        site.go()
        (ran, recalled) = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(ran, Ran)
        assert isinstance(recalled, NoSlotToCome)
        site.kill(pid, signal.SIGTERM)
        assert delivered(await ended(site.send("e2"))) == [True]
        async with asyncio.timeout(PATIENCE):
            while site.pids() == [pid]:
                await asyncio.sleep(0.01)


@pytest.mark.usefixtures("patient")
async def test_recycling_charges_nobody(tmp_path: Path) -> None:
    """Children that are replaced after some requests, in the middle of many in flight."""
    async with own_pool(tmp_path, children=2, spare=1, max_requests=40) as site:
        ids = [f"e{number}" for number in range(600)]
        assert all(delivered(await ended(*(site.send(id) for id in ids))))
        assert set(site.noted("begun").values()) == {1}
        assert sum(site.noted("begun").values()) == 600


@pytest.mark.usefixtures("patient")
async def test_a_reload_and_a_resize_charge_nobody(tmp_path: Path) -> None:
    """What the old children have not begun runs in the new ones."""
    async with own_pool(tmp_path, children=2) as site:
        await site.warm()
        old = site.pids()
        tasks = [site.send("gated", "gated"), *(site.send(f"e{number}") for number in range(400))]
        await site.supervisor.reload()
        site.supervisor.resize(3)
        site.supervisor.resize(1)
        assert all(delivered(await ended(*tasks[1:])))
        assert not tasks[0].done()
        site.go()
        assert delivered(await ended(tasks[0])) == [True]
        assert set(site.noted("begun").values()) == {1}
        assert not set(old) & set(site.pids())


@pytest.mark.usefixtures("patient")
async def test_a_worker_that_drains_lets_only_what_runs_end(tmp_path: Path) -> None:
    """All others end without a run."""
    async with own_pool(tmp_path) as site:
        await site.warm()
        tasks = [site.send("gated", "gated"), *(site.send(f"e{number}") for number in range(10))]
        await site.begun("gated")
        site.slots.drain()
        refused = await asyncio.gather(*tasks[1:], return_exceptions=True)
        assert all(isinstance(each, NoSlotToCome) for each in refused)
        site.go()
        assert delivered(await ended(tasks[0])) == [True]
        assert dict(site.noted("begun")) == {"gated": 1}


@pytest.mark.usefixtures("patient")
async def test_calls_run_between_events_once(tmp_path: Path) -> None:
    """Each call among many events in flight is answered, and has begun once."""
    async with own_pool(tmp_path, children=2) as site:
        await site.warm()
        until = asyncio.get_running_loop().time() + PATIENCE
        events = [site.send(f"e{number}") for number in range(200)]
        calls = [asyncio.create_task(site.slots.call(a_request(f"c{number}"), until)) for number in range(40)]
        assert all(delivered(await ended(*calls, *events)))
        begun = site.noted("begun")
    assert set(begun.values()) == {1}
    assert len(begun) == 240


async def test_progress_belongs_to_its_event(tmp_path: Path) -> None:
    """Also while others are in flight."""
    async with own_pool(tmp_path) as site:
        await site.warm()
        async with asyncio.timeout(PATIENCE):  # what is read after the end of its event is dropped
            while not (told := [moment for moment in site.moments if isinstance(moment, Progressed)]):
                assert all(delivered(await ended(*(site.send(f"e{number}", "told") for number in range(20)))))
    assert all(moment.note == f"of {moment.id}" for moment in told)
