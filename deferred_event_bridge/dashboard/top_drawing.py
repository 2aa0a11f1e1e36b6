"""The screens Now and Pool as text for a terminal. Pure: from the documents of the screens to a renderable of rich."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bridge.console.printable import printable
from bridge.console.quantities import duration_text, size_text

STYLES = {"good": "green", "wait": "yellow", "bad": "bold red"}
"""The style of each level. The words say the same, for terminals without colours."""

BARS = " ▁▂▃▄▅▆▇█"
POINTS = 24
"""The newest points of a queue's line."""

UNKNOWN = "-"


def drawn(now: Mapping[str, Any], pool: Mapping[str, Any], lines: Mapping[str, Sequence[int]]) -> RenderableType:
    """Return both screens. `lines` has the ready events of each queue over time."""
    parts: list[RenderableType] = [_headline(now)]
    if now["unreachable"]:
        parts.append(_text(now["unreachable"], STYLES["bad"]))
    parts += [
        _queues(now["queues"], lines),
        *(_text(f"! {each['text']}", STYLES[each["level"]]) for each in now["troubles"]),
    ]
    parts += [Text(), _text(pool["headline"], f"bold {STYLES[pool['level']]}"), *_workers(pool["workers"])]
    parts += [_text(f"! {_missing(each)}", STYLES["bad"]) for each in pool["missing"]]
    return Group(*parts)


def sparkline(values: Sequence[int]) -> str:
    """Return the newest values as a line of bars, relative to the largest one."""
    newest = values[-POINTS:]
    top = max(newest, default=0)
    return "".join(BARS[0] if not value else BARS[max(1, round(value / top * (len(BARS) - 1)))] for value in newest)


def _headline(now: Mapping[str, Any]) -> Text:
    letters = now["dead_letters"]
    dead = (
        f"{letters['open']:,} open dead letters, {letters['last_hour']:,} of the last hour" if letters["read"] else ""
    )
    line = _text(now["headline"], f"bold {STYLES[now['level']]}")
    return line.append(f"   {printable(now['site'] or '')}   {dead}", "dim")


def _queues(queues: Iterable[Mapping[str, Any]], lines: Mapping[str, Sequence[int]]) -> Table:
    table = _table("queue", "*ready", "*running", "*in/s", "*out/s", "*workers", "ready over time", "")
    for queue in queues:
        table.add_row(
            _text(queue["queue"], "bold"),
            *map(_number, (queue["ready"], queue["held"], queue["rate_in"], queue["rate_out"], queue["consumers"])),
            Text(sparkline(lines.get(queue["queue"], ()))),
            _text(queue["judgement"], STYLES[queue["level"]]),
        )
    return table


def _workers(workers: Iterable[Mapping[str, Any]]) -> Iterable[RenderableType]:
    table = _table("worker", "*up", "*busy", "*delivered", "*retried", "*dead", "*restarts", "")
    running = _table("slot", "event", "queue", "*attempt", "*for", "*of", "*memory", "progress")
    for worker in workers:
        waits = "; ".join(f"{queue} waits: {why}" for queue, why in worker["waits"].items())
        table.add_row(
            _text(f"{worker['host']}:{worker['pid']}", "bold"),
            _number(duration_text(worker["up_seconds"])),
            _number(f"{worker['busy']}/{worker['slots_all']}"),
            *map(_number, (worker["delivered"], worker["retried"], worker["dead"], worker["restarts"])),
            _text("; ".join(filter(None, (worker["state"], worker["trouble"], waits))), STYLES[worker["level"]]),
        )
        for slot in worker["slots"]:
            if slot["event"] is not None:
                running.add_row(*_slot(slot))
    if table.row_count:
        yield table
    if running.row_count:
        yield Text()
        yield running


def _slot(slot: Mapping[str, Any]) -> Iterable[Text]:
    used = slot["of_deadline"] or 0.0
    yield _text(f"{slot['slot']} ({slot['pid'] or UNKNOWN})")
    yield _text(f"{slot['event']} {slot['id'] or ''}", "bold")
    yield _text(slot["queue"] or "")
    yield _number(slot["attempt"])
    yield _text(_duration(slot["seconds"]), STYLES["bad" if used >= 0.9 else "wait" if used >= 0.5 else "good"])
    yield _number(_duration(slot["deadline"]))
    yield _number(UNKNOWN if slot["rss"] is None else size_text(slot["rss"]))
    yield _text(slot["progress"] or "")


def _missing(missing: Mapping[str, Any]) -> str:
    gone = duration_text(missing["gone_seconds"])
    return f"worker {missing['host']}:{missing['pid']} is missing: last seen {gone} ago"


def _duration(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else duration_text(seconds)


def _table(*titles: str) -> Table:
    """Return a table. A title that begins with a star is that of a column of numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in titles:
        number = title.startswith("*")
        table.add_column(title.lstrip("*"), justify="right" if number else "left", no_wrap=True, overflow="ellipsis")
    return table


def _number(value: object) -> Text:
    match value:
        case None:
            return Text(UNKNOWN)
        case float():
            return Text(f"{value:,.1f}".removesuffix(".0"))
        case int():
            return Text(f"{value:,}")
    return Text(str(value))


def _text(text: str, style: str = "") -> Text:
    return Text(printable(text), style=style, no_wrap=True, overflow="ellipsis")
