"""Figures of the spool: the duration of `defer()` while the broker does not answer, and the speed of the relay."""

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from app_adapter.fork_safe_publishing import publish
from benchmarks.report import Table
from benchmarks.scale import Scale
from bridge.config.settings import Settings, load_settings
from bridge.publishing.spool.summary import spooled
from tests.events import new_event
from tests.rabbitmq_node import RabbitNode

PACED, PAUSE = 1_000, 0.005
THREADS, EACH = 8, 2_500


def _seconds(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def measure(directory: Path, scale: Scale) -> Table:
    """Defer while the broker is frozen, at a web process's pace and as fast as possible; then resume the broker."""
    directory.mkdir(exist_ok=True)
    spool = directory / "spool.db"
    with RabbitNode() as node:
        settings = load_settings(
            command_line={"broker_url": node.url, "publish": "spool", "spool": str(spool), "spool_limit": "1GiB"},
            environ={},
        )
        _defer(settings)
        _until_empty(spool)
        node.pause()
        opening = _defer(settings)
        paced = [_defer(settings, _paced) for _ in range(PACED)]
        bare = _bare_writes(directory / "bare")
        with ThreadPoolExecutor(THREADS) as threads:
            began = time.monotonic()
            several = threads.map(lambda _: [_defer(settings) for _ in range(EACH)], range(THREADS))
            crowded = list(chain.from_iterable(several))
            crowd = time.monotonic() - began
        events = spooled(spool, "bridge").events
        node.resume()
        drain = _seconds(lambda: _until_empty(spool))
    return Table(
        "The spool",
        '`defer()` with `publish = "spool"` while RabbitMQ is frozen (SIGSTOP): the first event, whose publish times '
        f"out (`publish_timeout` 2 s), then {PACED:,} events at {1 / PAUSE:.0f}/s, and {THREADS * EACH:,} from "
        f"{THREADS} threads as fast as possible. Then RabbitMQ resumes, and the same process relays the events.",
        (
            ("what", "figure", "goal"),
            ("the first event, s", f"{opening:.2f}", "≤ 2.25"),
            ("at a web process's pace, ms: p50 / p99 / worst", _milliseconds(paced), "p99 < 5"),
            ("a bare write and fdatasync at the same pace, ms", _milliseconds(bare), ""),
            (f"{THREADS} threads, ms: p50 / p99 / worst", _milliseconds(crowded), ""),
            (f"{THREADS} threads, events/s", f"{len(crowded) / crowd:,.0f}", ""),
            (
                f"relay of {events:,} events after RabbitMQ has resumed, events/s",
                f"{events / drain:,.0f}",
                "some thousands",
            ),
        ),
    )


def _defer(settings: Settings, timed: Callable[[Callable[[], None]], float] = _seconds) -> float:
    """Publish one event; return the seconds that it took."""
    event = new_event("order.paid", b'{"id": 17}' * 12)
    return timed(lambda: publish(settings, event, None))


def _paced(work: Callable[[], None]) -> float:
    time.sleep(PAUSE)
    return _seconds(work)


def _bare_writes(path: Path) -> list[float]:
    """Write and sync pages to a file; return the seconds of each write, which are the least that this disk allows."""
    with path.open("wb", buffering=0) as file:

        def write() -> None:
            file.write(bytes(4096))
            os.fdatasync(file.fileno())

        return [_paced(write) for _ in range(PACED)]


def _until_empty(spool: Path) -> None:
    while spooled(spool, "bridge").events:
        time.sleep(0.1)


def _milliseconds(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return f"{cuts[49] * 1000:.2f} / {cuts[98] * 1000:.2f} / {max(seconds) * 1000:.1f}"
