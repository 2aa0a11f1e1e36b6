"""The worker's own pool with a real app, and without a broker: what its slots do while children are killed or hang."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bridge.envelope import Envelope
from bridge.event import Event
from bridge.fastcgi import encode_request
from bridge.moments import Moment
from bridge.outcome import Reply
from bridge.request import ReplayTarget, parameters
from tests.limits import PATIENCE
from worker.pool.plan import PoolPlan
from worker.pool.process import Launch
from worker.pool.recycling import RecyclingLimits
from worker.pool.supervisor import Supervisor
from worker.slots.child_slots import OwnPool
from worker.slots.slot import Request
from worker.slots.slots import Ran, Slots

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)

APP = """
import os, signal, sys, time
from flask import Flask, current_app
from app_adapter import DeferredEvents

app = Flask(__name__)
events = DeferredEvents(app)
ran = os.open("ran", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def note(what, event):
    os.write(ran, f"{what} {event.id} {os.getpid()}\\n".encode())

@events.on("#")
def listener(event):
    note("begun", event)
    globals()[event.name.replace(".", "_")](event)
    note("ended", event)

def fast(event):
    pass

def busy(event):
    end = time.perf_counter() + 0.001
    while time.perf_counter() < end:
        pass

def slow(event):
    time.sleep(0.05)

def gated(event):
    while not os.path.exists("go"):
        time.sleep(0.005)

def hang(event):
    time.sleep(600)

def printing(event):
    print("printed by", event.id)
    os.write(1, f"written by {event.id}\\n".encode())
    current_app.logger.warning("logged by %s", event.id)

def leave(event):
    os._exit(9)

def crash(event):
    os.kill(os.getpid(), signal.SIGSEGV)

def terminated(event):
    os.kill(os.getpid(), signal.SIGTERM)

def told(event):
    event.progress(1, 2, f"of {event.id}")
"""


def a_request(id: str, name: str = "fast", at_once: bool = False) -> Request:
    """Return the request of an event, whose name is that of a function of the app."""
    event = Event(id, name, "till", NOW, "application/json", b"{}")
    encoded = encode_request(parameters(Envelope(event, NOW), "mail", ReplayTarget()), event.data)
    return Request(name, id, "mail", 1, encoded, at_once=at_once)


@dataclass
class OwnPoolSite:
    """A pool that runs, and what its children have noted."""

    directory: Path
    slots: Slots
    supervisor: Supervisor
    pool: OwnPool
    moments: list[Moment] = field(default_factory=list)

    def pids(self) -> list[int]:
        """Return the process ids of the children that sit."""
        return [child.pid for child in self.supervisor.seats.seated()]

    def send(self, id: str, name: str = "fast", deadline: float = PATIENCE) -> asyncio.Task[Ran]:
        """Line up an event."""
        return asyncio.create_task(self.slots.exchange(a_request(id, name), deadline))

    async def warm(self, count: int = 200) -> None:
        """Run fast events until several are in flight in a child."""
        await asyncio.gather(*(self.send(f"warm-{number}") for number in range(count)))

    def noted(self, what: str) -> Counter[str]:
        """Return how often each event has begun, or ended."""
        lines = (line.split() for line in (self.directory / "ran").read_text().splitlines())
        return Counter(id for word, id, _ in lines if word == what and not id.startswith("warm"))

    async def begun(self, *ids: str) -> None:
        """Wait until these events have begun."""
        async with asyncio.timeout(PATIENCE):
            while not set(ids) <= set(self.noted("begun")):
                await asyncio.sleep(0.002)

    def go(self) -> None:
        """Let gated events end."""
        (self.directory / "go").touch()

    def kill(self, pid: int, number: signal.Signals = signal.SIGKILL) -> None:
        """Kill a child."""
        os.kill(pid, number)


@asynccontextmanager
async def own_pool(
    directory: Path, children: int = 1, spare: int = 0, in_flight: int = 16, max_requests: int = 0
) -> AsyncIterator[OwnPoolSite]:
    """Run a pool whose children are forked, so that a lost one is replaced at once."""
    (directory / "shop.py").write_text(APP)
    (directory / "ran").touch()
    launch = Launch("app_adapter.app_server", "shop:app", PATIENCE, {}, directory)
    plan = PoolPlan(children, spare, preload=True, limits=RecyclingLimits(max_requests))
    supervisor = Supervisor(launch, plan, lambda *_: None)
    moments: list[Moment] = []
    try:
        first = await supervisor.start()
        slots = Slots(children)
        pool = OwnPool(supervisor, slots, first[0].ready, in_flight, moments.append)
        await pool.open()
        yield OwnPoolSite(directory, slots, supervisor, pool, moments)
        await pool.stop()
    finally:
        await supervisor.stop()


def delivered(ran: Iterable[Ran]) -> list[bool]:
    """Return for each exchange whether the app's receiver reported success."""
    return [isinstance(each.exchange, Reply) and each.exchange.headers["bridge-outcome"] == "delivered" for each in ran]
