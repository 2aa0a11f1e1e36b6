"""Calls, with the real programs: what comes back, and what becomes of a call when something is killed meanwhile."""

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from app_adapter import CallFailed, CallLost, CallRejected, CallTimedOut, NobodyServes
from tests.journey.callers import CallingApp
from tests.journey.site import Site, eventually
from tests.limits import LONG, PATIENCE
from tests.rabbitmq_node import RabbitNode

APP = "calling:app"

FAILURES = {
    "call.failed": ("ConnectionError", "downstream is down"),
    "call.unwritten": ("InvalidPayload", "cannot be written as JSON"),
    "process.ended": ("crash", "exit status 3"),
}


@pytest.fixture
async def caller(site: Site) -> AsyncIterator[CallingApp]:
    """An app that calls."""
    yield CallingApp(site)


def runs(site: Site, name: str) -> Counter[str]:
    """Return how often each call of this name ran, by its id."""
    return Counter(effect.id for effect in site.effects(name=name))


async def test_what_a_call_comes_to(site: Site, caller: CallingApp) -> None:
    """Every kind of answer and error, each of one worker with the default of one slot for calls."""
    worker = site.worker(app=APP)
    await caller.until_served()

    assert await caller.call("str.reverse", {"str": "abc"}) == "cba"
    assert await caller.call("nothing.answered") is None
    assert len(await caller.call("letters.made", 1024**2)) == 1024**2
    with pytest.raises(CallFailed, match="at most 1048576"):
        await caller.call("letters.made", 1024**2 + 1)
    for name, (kind, message) in FAILURES.items():
        with pytest.raises(CallFailed) as failed:
            await caller.call(name)
        assert failed.value.type == kind, name
        assert message in failed.value.message
    with pytest.raises(CallFailed) as failed:
        await caller.call("call.failed")
    assert "in fail\n" in (failed.value.traceback or "")
    with pytest.raises(CallRejected, match=r"^never$"):
        await caller.call("call.rejected")
    with pytest.raises(NobodyServes, match="no listener"):
        await caller.call("nobody.listens")
    with pytest.raises(CallTimedOut):
        await caller.call("time.taken", 60, timeout=0.5)
    assert await caller.call("str.reverse", {"str": "again"}) == "niaga"
    assert worker.process.poll() is None


async def test_bridge_call(site: Site, caller: CallingApp) -> None:
    """It prints the answer, and its exit code says whether there was one."""
    nobody = site.run("bridge-call", "str.reverse", '{"str": "abc"}') if site.broker_url.startswith("amqp") else None
    if nobody is not None:
        assert await nobody.ended() == 1
        assert "no worker takes calls" in nobody.log
    site.worker(app=APP)
    await caller.until_served()

    answered = site.run("bridge-call", "str.reverse", '{"str": "abc"}', "--json", "--timeout", "120")
    failed = site.run("bridge-call", "call.failed", "--timeout", "120")

    assert await answered.ended() == 0
    assert json.loads(answered.log)["answer"] == "cba"
    assert await failed.ended() == 1
    assert "ConnectionError: downstream is down" in failed.log


async def test_a_listener_calls(site: Site, caller: CallingApp) -> None:
    """A call from within a child is answered by another one."""
    site.configure("calls = 2")
    site.worker(app=APP)
    await caller.until_served()

    assert await caller.call("call.nested", {"str": "abc"}) == "cba"


async def test_a_thousand_calls_of_eight_threads(site: Site, caller: CallingApp) -> None:
    """Each gets its own answer, and each runs once."""
    site.configure("calls = 2")
    site.worker(app=APP)
    await caller.until_served()

    results = await asyncio.gather(*(asyncio.to_thread(caller.storm, thread, 125) for thread in range(8)))

    assert sum(results, Counter()) == {"answered": 1000}
    assert sorted(runs(site, "str.reverse").values()) == [1] * 1000


async def test_the_worker_is_killed_in_the_middle_of_a_call(site: Site, caller: CallingApp) -> None:
    """The caller is told long before its time is over, the other worker does not run the call again, and goes on. When
    both are gone, the next caller hears it at once."""
    first = site.worker(app=APP)
    await caller.until_served()
    asking = asyncio.create_task(caller.call("time.taken", 3600, timeout=LONG))
    await eventually(lambda: runs(site, "time.taken").total() == 1)
    second = site.worker(app=APP)
    await second.says("ready for events")

    began = time.monotonic()
    first.signal(signal.SIGKILL)
    with pytest.raises(CallLost):
        await asking
    assert time.monotonic() - began < PATIENCE
    assert await caller.call("str.reverse", {"str": "abc"}) == "cba"
    second.signal(signal.SIGKILL)
    await second.ended()
    await asyncio.sleep(1)  # as long as the promise says
    began = time.monotonic()
    with pytest.raises(NobodyServes):
        await caller.call("str.reverse", {"str": "abc"}, timeout=LONG)
    assert time.monotonic() - began < PATIENCE  # and not the timeout; the contract suite measures it
    assert runs(site, "time.taken").total() == 1


async def test_the_worker_stops(site: Site, caller: CallingApp) -> None:
    """The call that runs is answered, and the one that waits for a slot goes to another worker."""
    first = site.worker(app=APP)
    await caller.until_served()
    running = asyncio.create_task(caller.call("time.taken", 3))
    await eventually(lambda: runs(site, "time.taken").total() == 1)
    second = site.worker(app=APP)
    await second.says("ready for events")
    waiting = [asyncio.create_task(caller.call("str.reverse", {"str": "abc"})) for _ in range(4)]
    first.signal(signal.SIGTERM)

    assert await running == "slept"
    assert await asyncio.gather(*waiting) == ["cba"] * 4
    assert await first.ended() == 0
    assert sorted(runs(site, "str.reverse").values()) == [1] * 4


async def test_a_caller_is_killed(site: Site, caller: CallingApp) -> None:
    """The worker ends the call at its time and serves the next ones."""
    site.worker(app=APP)
    await caller.until_served()
    asking = site.run("bridge-call", "time.taken", "600", "--timeout", "10")
    await eventually(lambda: runs(site, "time.taken").total() == 1)
    asking.signal(signal.SIGKILL)

    assert await caller.call("str.reverse", {"str": "abc"}) == "cba"


FORKING = """
import os
from calling import events
assert events.call("str.reverse", {"str": "abc"}, timeout=120) == "cba"
child = os.fork()
assert events.call("str.reverse", {"str": "abc"}, timeout=120) == "cba"
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


async def test_a_caller_forks(site: Site, caller: CallingApp) -> None:
    """The child and the parent call at the same time, each over a connection of its own."""
    site.configure("calls = 2")
    site.worker(app=APP)
    await caller.until_served()
    (site.directory / "forking.py").write_text(FORKING)
    forking = site.run("python", "forking.py", PYTHONPATH=str(site.directory))

    assert await forking.ended() == 0, forking.log


@pytest.mark.rabbitmq
async def test_rabbitmq_restarts_under_calls(node_site: Site, node: RabbitNode) -> None:
    """Each call is answered or told why not, none runs twice, and calls are answered again afterwards."""
    caller = CallingApp(node_site)
    node_site.configure("calls = 2")
    node_site.worker(app=APP)
    await caller.until_served()
    until = time.monotonic() + 4
    storms = [asyncio.create_task(asyncio.to_thread(caller.storm, thread, 50, until)) for thread in range(8)]
    await eventually(lambda: runs(node_site, "str.reverse").total() > 20)

    await asyncio.to_thread(node.restart)
    results: Counter[str] = sum(await asyncio.gather(*storms), Counter())
    await caller.until_served()

    assert set(results) <= {"answered", "NobodyServes", "CallLost", "CallTimedOut", "CallUnavailable"}
    assert results["answered"] > 20
    assert max(runs(node_site, "str.reverse").values()) == 1


async def test_a_pool_that_others_run(here: Site) -> None:
    """The receiver is ours, so it answers calls, large ones too. A call that is out of time loses its connection."""
    caller, address = CallingApp(here), f"unix:{here.directory}/app.sock"
    here.run("bridge-pool", APP, "--bind", address, "--children", "2")
    here.run("bridge-worker", "--fastcgi", address, "--connections", "2")
    await caller.until_served()

    assert await caller.call("str.reverse", {"str": "abc"}) == "cba"
    assert len(await caller.call("letters.made", 1024**2)) == 1024**2
    with pytest.raises(CallTimedOut):
        await caller.call("time.taken", 60, timeout=0.5)
    assert await caller.call("str.reverse", {"str": "again"}) == "niaga"
