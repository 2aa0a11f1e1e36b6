"""The report in Markdown: a table of all figures, and a table of this project's figures divided by each peer's."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.contender import Contender
from benchmarks.results import Result, Times

Row = Sequence[str]

OURS = {"rabbitmq": "bridge-rabbitmq", "sqlite": "bridge-sqlite"}

HEADER = (
    *("contender", "broker", "handler", "sending", "events/s"),
    *("latency p50 / p99, ms", "send p50 / p99, ms"),
    *("CPU µs an event: broker", "worker", "children", "memory MiB: worker", "a child"),
)
RATIO_HEADER = ("this project and", "events/s", "latency p50", "latency p99", "send p50", "CPU an event")


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a heading, a paragraph about the measurement (`what`), and rows after a header."""

    heading: str
    what: str
    rows: Sequence[Row]


def table(results: Iterable[tuple[Contender, Result]]) -> list[Row]:
    """Return a row of figures for each contender, after the header."""
    return [HEADER, *(_row(contender, result) for contender, result in results)]


def ratios(results: Mapping[str, tuple[Contender, Result]]) -> list[Row]:
    """Return this project's figures divided by each peer's on the same kind of broker, after the header."""
    rows: list[Row] = [RATIO_HEADER]
    for name, (contender, peer) in results.items():
        ours = OURS[contender.broker]
        if ours in results and name != ours:
            rows.append((contender.name, *_ratios(results[ours][1], peer)))
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table with aligned columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def section(table: Table) -> str:
    """Return a table with its heading and paragraph."""
    return f"## {table.heading}\n\n{table.what}\n\n{markdown(table.rows)}"


def _row(contender: Contender, result: Result) -> Row:
    sending = "confirmed" if contender.confirmed else "unconfirmed"
    start = (contender.name, contender.broker, contender.handler, sending)
    drain = result.drain
    if drain is None:
        return (*start, "", "", _milliseconds(result.sending), "", "", "", "", "")
    return (
        *start,
        f"{drain.per_second:,.0f}",
        _milliseconds(result.latency),
        _milliseconds(result.sending),
        *(f"{drain.cpu[role]:.0f}" for role in ("broker", "worker", "children")),
        *(f"{memory / 1024**2:.0f}" for memory in (drain.worker_memory, drain.child_memory)),
    )


def _ratios(ours: Result, peer: Result) -> Row:
    return tuple(
        f"{mine / theirs:.2f}" if mine and theirs else ""
        for mine, theirs in zip(_compared(ours), _compared(peer), strict=True)
    )


def _compared(result: Result) -> Sequence[float | None]:
    drain, latency = result.drain, result.latency
    return (
        drain.per_second if drain else None,
        latency.p50 if latency else None,
        latency.p99 if latency else None,
        result.sending.p50,
        sum(drain.cpu.values()) if drain else None,
    )


def _milliseconds(times: Times | None) -> str:
    return f"{times.p50 * 1000:.2f} / {times.p99 * 1000:.2f}" if times else ""
