"""The screens Now and Pool as text for a terminal. Pure: from the documents of the screens to a renderable of rich."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
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


QUEUES = {
    "queue": 0,
    "*ready": 0,
    "*running": 60,
    "*in/s": 60,
    "*out/s": 60,
    "*workers": 80,
    "ready over time": 100,
    "": 0,
}
WORKERS = {"worker": 0, "*up": 80, "*busy": 0, "*delivered": 60, "*retried": 80, "*dead": 60, "*restarts": 100, "": 0}
SLOTS = {"slot": 80, "event": 0, "queue": 60, "*attempt": 80, "*for": 0, "*of": 80, "*memory": 100, "progress": 60}
"""The columns of the tables, and the width of a terminal from which each is drawn. The titles of numbers have a star. A
column without a title has sentences, which take several lines if they must."""


def drawn(
    now: Mapping[str, Any], pool: Mapping[str, Any], lines: Mapping[str, Sequence[int]], width: int
) -> RenderableType:
    """Return both screens for a terminal of this width. `lines` has the ready events of each queue over time."""
    parts: list[RenderableType] = [_headline(now)]
    if now["unreachable"]:
        parts.append(_text(now["unreachable"], STYLES["bad"]))
    parts += [
        _queues(now["queues"], lines, width),
        *(_text(f"! {each['text']}", STYLES[each["level"]]) for each in now["troubles"]),
    ]
    parts += [Text(), _text(pool["headline"], f"bold {STYLES[pool['level']]}"), *_workers(pool["workers"], width)]
    parts += [_text(f"! {_missing(each)}", STYLES["bad"]) for each in pool["missing"]]
    return Group(*parts)


def sparkline(values: Sequence[int]) -> str:
    """Return the newest values as a line of bars, relative to the largest one."""
    newest = values[-POINTS:]
    top = max(newest, default=0)
    return "".join(BARS[0] if not value else BARS[max(1, round(value / top * (len(BARS) - 1)))] for value in newest)


def _headline(now: Mapping[str, Any]) -> Text:
    letters = now["dead_letters"]
    noun = "letter" if letters["open"] == 1 else "letters"
    dead = f"{letters['open']:,} open dead {noun}, {letters['last_hour']:,} of the last hour" if letters["read"] else ""
    line = _text(now["headline"], f"bold {STYLES[now['level']]}")
    return line.append(f"   {printable(now['site'] or '')}   {dead}", "dim")


def _queues(queues: Iterable[Mapping[str, Any]], lines: Mapping[str, Sequence[int]], width: int) -> Table:
    table = _Columns(QUEUES, width)
    for queue in queues:
        table.add(
            _text(queue["queue"], "bold"),
            *map(_number, (queue["ready"], queue["held"], queue["rate_in"], queue["rate_out"], queue["consumers"])),
            Text(sparkline(lines.get(queue["queue"], ()))),
            _sentence(queue["judgement"], STYLES[queue["level"]]),
        )
    return table.table


def _workers(workers: Iterable[Mapping[str, Any]], width: int) -> Iterable[RenderableType]:
    table, running = _Columns(WORKERS, width), _Columns(SLOTS, width)
    for worker in workers:
        waits = "; ".join(f"{queue} waits: {why}" for queue, why in worker["waits"].items())
        table.add(
            _text(f"{worker['host']}:{worker['pid']}", "bold"),
            _number(duration_text(worker["up_seconds"])),
            _number(f"{worker['busy']}/{worker['slots_all']}"),
            *map(_number, (worker["delivered"], worker["retried"], worker["dead"], worker["restarts"])),
            _sentence("; ".join(filter(None, (worker["state"], worker["trouble"], waits))), STYLES[worker["level"]]),
        )
        for slot in worker["slots"]:
            if slot["event"] is not None:
                running.add(*_slot(slot))
    if table.table.row_count:
        yield table.table
    if running.table.row_count:
        yield Text()
        yield running.table


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


class _Columns:
    """A table with the columns that a terminal of this width has room for. A row has a cell for each column."""

    def __init__(self, columns: Mapping[str, int], width: int) -> None:
        self.table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        self._is_drawn = [width >= least for least in columns.values()]
        for title in compress(columns, self._is_drawn):
            self.table.add_column(
                title.lstrip("*"),
                justify="right" if title.startswith("*") else "left",
                no_wrap=bool(title),
                overflow="ellipsis" if title else "fold",
                min_width=None if title else 15,
            )

    def add(self, *cells: Text) -> None:
        """Add a row."""
        self.table.add_row(*compress(cells, self._is_drawn))


def _number(value: object) -> Text:
    match value:
        case None:
            return Text(UNKNOWN)
        case float():
            return Text(f"{value:,.1f}".removesuffix(".0"))
        case int():
            return Text(f"{value:,}")
    return Text(str(value))


def _sentence(text: str, style: str) -> Text:
    """Return a text that may take several lines."""
    return Text(printable(text), style=style)


def _text(text: str, style: str = "") -> Text:
    return Text(printable(text), style=style, no_wrap=True, overflow="ellipsis")
