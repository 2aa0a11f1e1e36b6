"""The cost of what a site can know and decide: a worker drains with each feature in use and with none, by turns."""

import asyncio
import threading
import urllib.request
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.bridge_place import Place
from benchmarks.draining import Drain, drained
from benchmarks.figures import spread
from benchmarks.report import Row, Table
from benchmarks.scale import Scale
from bridge.cancellations import Cancellation
from bridge.config.settings import Settings
from bridge.console.site_options import existing_broker
from bridge.errors import BrokerUnavailable
from bridge.moments import Moment
from bridge.registry import ANSWER_WITHIN, SUBJECT
from tests.ports import free_ports
from tests.rabbitmq_node import RabbitNode
from worker.control.controls_log import ControlsLog
from worker.operating.queue_acts import pause

NONE, ALL = "nothing", "all of these"
CANCELLED = 500
SCRAPED_EVERY = 1.0
NO_HISTORY = "history = {keep = 0}\n"
WATCHERS = f'watchers = ["{__name__}:watch"]\n'


def watch(moment: Moment) -> None:
    """The watcher of a site: it looks at each moment, and keeps nothing."""
    type(moment).__name__.upper()


def _controls(settings: Settings) -> None:
    """Cancel events that never come, and pause a pattern that none of the events matches."""
    asyncio.run(_cancel(settings))
    asyncio.run(pause(settings, None, "another.#", None, "benchmark"))


async def _cancel(settings: Settings) -> None:
    now = datetime.now(UTC)
    async with existing_broker(settings) as broker:
        log = ControlsLog(broker, settings.values.namespace, settings.ledger_keys())
        for _ in range(CANCELLED):
            await log.cancel(Cancellation(str(uuid.uuid4()), False, "benchmark", "", now))


def _ask_site(settings: Settings, stop: threading.Event) -> None:
    """Ask all workers for their status, again and again, as `bridge-status --site` does."""

    async def ask() -> None:
        async with existing_broker(settings) as broker:
            statuses = broker.broadcast(SUBJECT)
            while not stop.is_set():
                with suppress(BrokerUnavailable):
                    await statuses.ask_all({"ask": SUBJECT}, ANSWER_WITHIN)

    asyncio.run(ask())


def _scrape(settings: Settings, stop: threading.Event) -> None:
    """Read the metrics every second, as Prometheus does more rarely."""
    while not stop.wait(SCRAPED_EVERY):
        with suppress(OSError), urllib.request.urlopen(f"http://{settings.values.http}/metrics", timeout=5) as page:
            page.read()


@dataclass(frozen=True, slots=True)
class Feature:
    """`toml` switches it on. `prepare` is done before the worker starts; `meanwhile` in a thread while it drains."""

    toml: str = ""
    prepare: Callable[[Settings], None] | None = None
    meanwhile: Callable[[Settings, threading.Event], None] | None = None


FEATURES: Mapping[str, tuple[Feature, ...]] = {
    NONE: (),
    "history": (HISTORY := Feature(),),
    "controls": (CONTROLS := Feature(prepare=_controls),),
    "registry": (REGISTRY := Feature(meanwhile=_ask_site),),
    "prometheus": (PROMETHEUS := Feature('http = "127.0.0.1:{port}"\n', meanwhile=_scrape),),
    "watchers": (WATCHING := Feature(WATCHERS),),
    ALL: (HISTORY, CONTROLS, REGISTRY, PROMETHEUS, WATCHING),
}


def measure(directory: Path, scale: Scale) -> Table:
    """Drain on both brokers, by turns; return the spreads of events/s and CPU, and of their ratios to `NONE`."""
    rows: list[Row] = []
    with ExitStack() as stack:
        node = stack.enter_context(RabbitNode())
        for broker in ("sqlite", "rabbitmq"):
            drains: dict[str, list[Drain]] = defaultdict(list)
            for number in range(scale.rounds):
                for name, features in FEATURES.items():
                    url = None if broker == "sqlite" else node.new_vhost()
                    place = Place(directory / f"{broker}-{number}-{name.replace(' ', '-')}", url, _toml(features))
                    drains[name].append(_drain(place, features, scale.events))
            rows += [_row(broker, name, found, drains[NONE]) for name, found in drains.items()]
    return Table(
        "What a site knows and decides, on and off",
        f"A worker with two children drains {scale.events:,} events, each a whole Flask request, by turns with one of "
        f"these in use and with none; {scale.rounds} rounds. *History*: as by default. *Controls*: {CANCELLED} events "
        "are cancelled, and a pattern is paused; none is of the backlog. *Registry*: all workers are asked for their "
        "status three times a second. *Prometheus*: its metrics are read every second. *Watchers*: "
        "one of the site. Controls and registry cannot be switched off, so their rows are their use. The ratios are to "
        f'"{NONE}", in each round; the CPU is that of the worker and its children.',
        (("broker", "in use", "events/s", "ratio", "goal", "CPU µs an event", "ratio"), *rows),
    )


def _toml(features: tuple[Feature, ...]) -> str:
    port = free_ports(1)[0]
    kept = "" if HISTORY in features else NO_HISTORY
    return kept + "".join(feature.toml.format(port=port) for feature in features)


def _drain(place: Place, features: tuple[Feature, ...], events: int) -> Drain:
    place.publish(events)
    settings = place.settings()
    for feature in features:
        if feature.prepare is not None:
            feature.prepare(settings)
    with place.worker() as worker, _meanwhile(features, settings):
        return drained(worker, events)


@contextmanager
def _meanwhile(features: tuple[Feature, ...], settings: Settings) -> Iterator[None]:
    stop = threading.Event()
    works = [feature.meanwhile for feature in features if feature.meanwhile is not None]
    threads = [threading.Thread(target=work, args=(settings, stop), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _row(broker: str, name: str, found: list[Drain], none: list[Drain]) -> Row:
    pairs = list(zip(found, none, strict=True)) if name != NONE else []
    return (
        broker,
        name,
        spread([drain.per_second for drain in found], 0),
        spread([drain.per_second / without.per_second for drain, without in pairs], 3),
        "≥ 0.97" if name == "history" else "",
        spread([_cpu(drain) for drain in found], 0),
        spread([_cpu(drain) / _cpu(without) for drain, without in pairs], 3),
    )


def _cpu(drain: Drain) -> float:
    return drain.cpu["worker"] + drain.cpu["children"]
