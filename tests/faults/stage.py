"""The stage of one ordeal: a site with its broker, the programs that run there, and the history that they write."""

import random
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bridge.brokers.rabbitmq.topology.names import Names
from bridge.publishing.relay import BATCH
from bridge.publishing.spool.summary import spooled
from tests.faults.app_database import VARIABLE as DATABASE
from tests.faults.app_database import AppDatabase
from tests.faults.history import VARIABLE, Counting, History, Record, read
from tests.faults.limits import STEP
from tests.faults.proxy import Proxy
from tests.journey.site import Program, Site, eventually
from tests.rabbitmq_cluster import RabbitCluster
from tests.rabbitmq_node import RabbitNode

ROOT = Path(__file__).parents[2]
APP = Path(__file__).with_name("apps") / "judged.py"
STORED_APP = APP.with_name("stored.py")

CHILDREN = 2
HELD_BY_A_WORKER = CHILDREN * 16
"""The most deliveries of a worker that are in its children, and so may run twice: 16 for each slot, the setting
`in_flight`. While events are fast, the worker holds more (`worker/events/prefetch.py`), which have not begun."""

THREADS = 4
"""Threads of a publisher or a caller, and so the most publishes or calls that it has in flight."""

CALLS_A_SECOND = 10.0

ATTEMPTS, WAITS = 3, (1.0, 2.0)
BUDGET = 2.0
DEADLINE = 10.0
SETTINGS = f"retry = {{attempts = 3, initial = '1s', base = 2, jitter = 0}}\ndeadline = '{DEADLINE:g}s'\n"


class Stage:
    """The stage of one ordeal.

    `node`, `cluster` and `proxy` are the RabbitMQ node, cluster and network under the stage that faults may break, if
    the stage has them, and `database` the app's own database. `hold` is the duration in seconds of a fault that lasts.
    `dice` makes the random choices. `rate` is the number of requests a second of each publisher.
    """

    def __init__(
        self,
        site: Site,
        *,
        node: RabbitNode | None = None,
        cluster: RabbitCluster | None = None,
        proxy: Proxy | None = None,
        database: AppDatabase | None = None,
        hold: float = 3.0,
        dice: random.Random | None = None,
    ) -> None:
        self.site = site
        self._node = node
        self._cluster = cluster
        self._proxy = proxy
        self.database = database
        self.hold = hold
        self.dice = dice or random.Random(0)
        self.rate = 100.0
        self.workers: list[Program] = []
        self.publishers: list[Program] = []
        self.callers: list[Program] = []
        self.relays: list[Program] = []
        self.path = site.directory / "history"
        self._history = History(self.path)
        self._counting = Counting(self.path)
        self._named = 0
        site.environment |= {
            VARIABLE: str(self.path),
            "BRIDGE_PUBLISH_TIMEOUT": f"{BUDGET:g}s",
            "PYTHONPATH": str(ROOT),
            "BRIDGE_CONTROL_DIRECTORY": str(site.directory / "control"),
        }
        if database is None:
            shutil.copy(APP, site.directory)
        else:  # under the name that the programs know
            shutil.copy(STORED_APP, site.directory / APP.name)
            site.environment[DATABASE] = database.url
        self.configure()

    @property
    def node(self) -> RabbitNode:
        """The RabbitMQ node under a stage that has one."""
        assert self._node is not None, "no RabbitMQ node is under this stage"
        return self._node

    @property
    def cluster(self) -> RabbitCluster:
        """The cluster under a stage that has one."""
        assert self._cluster is not None, "no cluster is under this stage"
        return self._cluster

    @property
    def proxy(self) -> Proxy:
        """The proxy in front of the node of a stage that has one."""
        assert self._proxy is not None, "no proxy is under this stage"
        return self._proxy

    @property
    def nodes(self) -> Sequence[RabbitNode]:
        """All RabbitMQ nodes under this stage; empty on SQLite."""
        if self._cluster is not None:
            return self._cluster.nodes
        return () if self._node is None else (self._node,)

    @property
    def queue(self) -> str:
        """The AMQP name of the site's only queue."""
        return Names(self.site.namespace).queue("default")

    def configure(self, *lines: str) -> None:
        """Write the site's bridge.toml. These lines are added to the default ones, or replace those of the same key."""
        given = {_key(line) for line in lines}
        own = [line for line in SETTINGS.splitlines() if _key(line) not in given]
        stores = () if self.database is None else ("[stores.app]", f"url = '{self.database.url}'")
        self.site.configure("\n".join((*own, *lines, *stores, "")))

    async def start_worker(self, *arguments: str, mutant: str | None = None) -> Program:
        """Start a worker, or a mutant of the worker; return it when it takes events."""
        command = ("bridge-worker", "judged:app", "--children", str(CHILDREN), *arguments)
        worker = self.site.run(*command) if mutant is None else self.start_mutant(mutant, *command)
        self.workers.append(worker)
        await worker.says("ready for events", STEP)
        return worker

    def start_publisher(self, mutant: str | None = None) -> Program:
        """Start a publisher, or a mutant of the publisher."""
        self._named += 1
        arguments = (f"p{self._named}", str(THREADS), str(self.rate))
        command = [sys.executable, "-m", "tests.faults.publisher", *arguments]
        if mutant is None:
            publisher = Program(command, self.site.directory, self.site.environment)
        else:
            publisher = self.start_mutant(mutant, "publisher", *arguments)
        self.publishers.append(publisher)
        return publisher

    def start_caller(self, mutant: str | None = None) -> Program:
        """Start a program that calls at `CALLS_A_SECOND` until it is ended, or a mutant of it."""
        self._named += 1
        return self._start_caller(mutant, "many", f"c{self._named}", str(THREADS), str(CALLS_A_SECOND))

    def call(self, key: str, step: str, timeout: float, mutant: str | None = None) -> Program:
        """Start a program that makes a single call, whose listener does this step."""
        return self._start_caller(mutant, "once", key, step, str(timeout))

    def _start_caller(self, mutant: str | None, *arguments: str) -> Program:
        command = [sys.executable, "-m", "tests.faults.caller", *arguments]
        if mutant is None:
            caller = Program(command, self.site.directory, self.site.environment)
        else:
            caller = self.start_mutant(mutant, "caller", *arguments)
        self.callers.append(caller)
        return caller

    async def start_relay(self) -> None:
        """Start a `bridge-relay`."""
        self.relays.append(self.site.run("bridge-relay"))
        await self.relays[-1].says("relaying", STEP)

    async def replace_relay(self) -> None:
        """Kill the relay, and start a new one."""
        relay = self.relays.pop()
        relay.signal(signal.SIGKILL)
        await relay.ended(STEP)
        await self.start_relay()

    def start_mutant(self, mutant: str, program: str, *arguments: str) -> Program:
        """Start a mutant of a program; see `tests.faults.mutated`."""
        command = [sys.executable, "-m", "tests.faults.mutated", mutant, program, *arguments]
        return Program(command, self.site.directory, self.site.environment)

    async def kill(self, program: Program) -> int:
        """Kill a program and remove it from the stage; return its pid when it has ended."""
        for programs in (self.workers, self.publishers, self.callers):
            if program in programs:
                programs.remove(program)
        program.signal(signal.SIGKILL)
        await program.ended(STEP)
        return program.process.pid

    def hurt(
        self,
        act: str,
        *,
        repeats: int = 0,
        copies: int = 0,
        unseen: int = 0,
        losses: int = 0,
        killed: tuple[int, ...] = (),
        stopped: tuple[int, ...] = (),
        lasted: float = 0.0,
    ) -> None:
        """Note in the history that a fault was done, and the most that it may cause.

        `repeats`: events that may run twice. `copies`: events that may have a second message. `unseen`: attempts that
        may have been counted before the app could note them. `losses`: messages that an operator has deleted.
        `killed`: pids that were killed. `stopped`: pids that were stopped, for the `lasted` seconds until now.
        """
        caused = {"repeats": repeats, "copies": copies, "unseen": unseen, "losses": losses}
        self._history.note("hurt", act=act, **caused, killed=killed, stopped=stopped, lasted=lasted)

    @property
    def in_flight(self) -> int:
        """The most publishes that all publishers have in flight."""
        return THREADS * len(self.publishers)

    def cut_off_all(self, act: str) -> None:
        """Note that every connection to the broker may have been lost. The events that the workers held may run twice,
        and the publishes in flight may be repeated."""
        self.hurt(act, repeats=HELD_BY_A_WORKER * len(self.workers), copies=self.in_flight)

    def circuit_opens(self) -> None:
        """Note that publishers spool from now on. The events that they had in flight are spooled too, and a batch that
        was being relayed when the broker went away may be relayed again."""
        self.hurt("the circuit opens", copies=self.in_flight + BATCH)

    def spooled(self) -> int:
        """Return the number of events in the site's spool."""
        return spooled(self.site.directory / "bridge-spool.db", self.site.namespace).events

    def note(self, what: str, **known: object) -> None:
        """Write a line of the history."""
        self._history.note(what, **known)

    def count(self, what: str) -> int:
        """Return the number of lines of this kind in the history."""
        return self._counting.count(what)

    async def reaches(self, what: str, more: int, within: float = STEP) -> None:
        """Wait until the history has this many more lines of this kind."""
        wanted = self.count(what) + more

        def why() -> str:
            missing = wanted - self.count(what)
            return f"{missing} of {more} more '{what}' lines are missing after {within:g} s"

        await eventually(lambda: self.count(what) >= wanted, within, why)

    def history(self) -> list[Record]:
        """Return the history, sorted by time."""
        return read(self.path)

    def close(self) -> None:
        """Close the history."""
        self._counting.close()
        if self.database is not None:
            self.database.close()

    def report(self) -> str:
        """Return the last lines of every program's output, for the message of a failed test."""
        programs = (*self.workers, *self.publishers, *self.callers, *self.relays)
        return "\n".join(f"--- {program.process.args!r}\n{program.log[-3000:]}" for program in programs)


def _key(line: str) -> str:
    """Return the key that a line of bridge.toml sets."""
    return line.partition("=")[0].strip()
