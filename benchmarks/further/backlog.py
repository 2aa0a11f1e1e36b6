"""A long backlog: whether a worker is as fast at its end as at its start, and how much memory it needs meanwhile."""

from contextlib import ExitStack
from pathlib import Path

from benchmarks.bridge_place import Place
from benchmarks.draining import Drain, drained
from benchmarks.report import Row, Table
from benchmarks.scale import Scale
from tests.rabbitmq_node import RabbitNode

MIB = 1024**2


def measure(directory: Path, scale: Scale) -> Table:
    """Drain the backlog once on each broker."""
    rows: list[Row] = []
    with ExitStack() as stack:
        node = stack.enter_context(RabbitNode())
        for broker in ("sqlite", "rabbitmq"):
            place = Place(directory / broker, None if broker == "sqlite" else node.url)
            place.publish(scale.backlog)
            with place.worker() as worker:
                rows.append(_row(broker, drained(worker, scale.backlog)))
    return Table(
        "A long backlog",
        f"A worker with two children drains {scale.backlog:,} events, each a whole Flask request that was deferred "
        "confirmed. The first tenth does not count; of the rest, its first and its last tenth are compared, and the "
        "memory of the worker with its children at the start and at the end.",
        (
            (
                *("broker", "events/s", "first tenth", "last tenth", "ratio", "goal"),
                *("memory, MiB: start", "end", "ratio", "goal"),
            ),
            *rows,
        ),
    )


def _row(broker: str, drain: Drain) -> Row:
    start, end = drain.before.all_memory, drain.after.all_memory
    return (
        broker,
        f"{drain.per_second:,.0f}",
        *(f"{drain.first:,.0f}", f"{drain.last:,.0f}", f"{drain.last / drain.first:.2f}", "≥ 0.95"),
        *(f"{start / MIB:.0f}", f"{end / MIB:.0f}", f"{end / start:.2f}", "flat"),
    )
