"""The cost of the history: a worker drains the same events with the history and without it, in alternation."""

import asyncio
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import records
from benchmarks.report import Table
from bridge.brokers.opening import open_broker
from bridge.config.settings import load_settings
from tests.deadlines import within
from tests.events import new_event
from tests.rabbitmq_node import RabbitNode

EVENTS = 10_000
ROUNDS = 5
ROOT = Path(__file__).parents[2]
APP = "benchmarks.contenders.bridge_flask:app"
AT_ONCE = 500

SETTINGS = {"with": "", "without": "history = {keep = 0}\n"}


@dataclass(frozen=True)
class Drain:
    """The CPU seconds of the worker and its children, and the events per second."""

    cpu: float
    rate: float


def measure(directory: Path) -> Table:
    """Drain on both brokers; return the medians and their ratios."""
    directory.mkdir(exist_ok=True)
    rows = []
    with ExitStack() as stack:
        node = stack.enter_context(RabbitNode())
        for broker in ("sqlite", "rabbitmq"):
            drains: dict[str, list[Drain]] = {name: [] for name in SETTINGS}
            for number in range(ROUNDS):
                for name, toml in SETTINGS.items():
                    place = directory / f"{broker}-{name}-{number}"
                    place.mkdir()
                    (place / "bridge.toml").write_text(toml)
                    url = f"sqlite:///{place}/bridge.db" if broker == "sqlite" else node.new_vhost()
                    boot = _drain(place, url, 0).cpu
                    drain = _drain(place, url, EVENTS)
                    drains[name].append(Drain(drain.cpu - boot, drain.rate))
            rows.append(_row(broker, drains))
    return Table(
        "The cost of the history",
        f"{EVENTS:,} events that wait are drained by a worker with two children, with the history (the default) and "
        f"without it, in alternation; medians of {ROUNDS} rounds. The CPU is that of the worker and its children, "
        "without their boot.",
        (("broker", "CPU µs an event, with / without", "ratio", "events/s, with / without", "ratio", "goal"), *rows),
    )


def _row(broker: str, drains: Mapping[str, list[Drain]]) -> tuple[str, ...]:
    cpu = {name: statistics.median(drain.cpu / EVENTS * 1e6 for drain in found) for name, found in drains.items()}
    rate = {name: statistics.median(drain.rate for drain in found) for name, found in drains.items()}
    return (
        broker,
        f"{cpu['with']:.0f} / {cpu['without']:.0f}",
        f"{cpu['with'] / cpu['without']:.3f}",
        f"{rate['with']:,.0f} / {rate['without']:,.0f}",
        f"{rate['with'] / rate['without']:.3f}",
        "≥ 0.97",
    )


def _drain(place: Path, url: str, count: int) -> Drain:
    """Publish this number of events, and let a worker drain them."""
    file = place / "records"
    environment = {**os.environ, records.FILE: str(file), "PYTHONPATH": str(ROOT), "BRIDGE_BROKER_URL": url}
    asyncio.run(_publish(place, url, count))
    program = str(Path(sys.executable).with_name("bridge-worker"))
    command = [program, APP, "--children", "2", "--until-empty", "--config", str(place / "bridge.toml")]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=log, stderr=log)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError((place / "log").read_text(errors="replace")[-3000:])
    cpu = usage.ru_utime + usage.ru_stime
    if not count:
        return Drain(cpu, 0.0)
    middle = sorted(handled for _, handled in records.read(file))[count // 10 : -count // 10]
    return Drain(cpu, len(middle) / (middle[-1] - middle[0]))


async def _publish(place: Path, url: str, count: int) -> None:
    settings = load_settings(environ={"BRIDGE_BROKER_URL": url}, file=str(place / "bridge.toml"))
    broker = open_broker(url, settings.values.namespace)
    await broker.declare(settings.queues())
    publisher = broker.publisher()
    for _ in range(count // AT_ONCE):
        made = [new_event("benchmark.sent", b"0") for _ in range(AT_ONCE)]
        await asyncio.gather(*(publisher.publish(event, None, deadline=within(60)) for event in made))
    await publisher.close()
    await broker.close()
