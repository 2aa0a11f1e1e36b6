"""The report in Markdown: for each group of figures a table, with each contender's promise and our ratio to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.contender import Contender
from benchmarks.figures import GROUPS, Figure, Figures, Group, spread

Row = Sequence[str]

OURS = {"rabbitmq": "bridge-rabbitmq", "sqlite": "bridge-sqlite"}

PROMISES = ("contender", "a send is", "kept in", "an event runs", "if its worker is killed, it")
RATIO = "ours ÷ its"
RATIO_DIGITS = 2

Rounds = Mapping[int, Figures]
"""The figures of a contender by round."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a heading, a paragraph about the measurement (`what`), and rows after a header."""

    heading: str
    what: str
    rows: Sequence[Row]


def tables(results: Mapping[str, tuple[Contender, Rounds]]) -> list[Table]:
    """Return a table for each group of which a figure was measured."""
    found = [_table(group, results) for group in GROUPS]
    return [table for table in found if len(table.rows) > 1]


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


def ratios(ours: Rounds, others: Rounds, key: str) -> list[float]:
    """Return our figure divided by the other's, for each round in which both were measured. A round measures one after
    the other, so that a machine that becomes slower meanwhile changes the ratio little."""
    both = sorted(ours.keys() & others.keys())
    pairs = [(ours[number].get(key), others[number].get(key)) for number in both]
    return [mine / its for mine, its in pairs if mine and its]


def _table(group: Group, results: Mapping[str, tuple[Contender, Rounds]]) -> Table:
    headings = [each for figure in group.figures for each in (figure.heading, RATIO)[: 1 + figure.compared]]
    rows: list[Row] = [(*PROMISES, *headings)]
    for contender, rounds in results.values():
        if any(figure.key in figures for figures in rounds.values() for figure in group.figures):
            ours = results.get(OURS[contender.broker])
            rows.append((*_promise(contender), *_cells(group.figures, rounds, ours[1] if ours else {})))
    return Table(group.heading, group.what, rows)


def _promise(contender: Contender) -> Row:
    promise = contender.promise
    confirmed = "confirmed" if promise.confirmed else "unconfirmed"
    return contender.name, confirmed, promise.kept, promise.runs, promise.killed


def _cells(figures: Sequence[Figure], rounds: Rounds, ours: Rounds) -> Row:
    """Return the cells of a contender: for each figure its spread, and the spread of our ratio to it."""
    cells = []
    for figure in figures:
        values = [measured[figure.key] for measured in rounds.values() if figure.key in measured]
        cells.append(spread(values, figure.digits))
        if figure.compared:
            cells.append("" if rounds is ours else spread(ratios(ours, rounds, figure.key), RATIO_DIGITS))
    return cells
