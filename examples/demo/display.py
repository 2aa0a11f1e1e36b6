"""The output of the demo: live figures on a terminal, else a line each second; and the summary at the end."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from .accounts import Tally

LINE_SECONDS = 1.0


class Progress:
    """The figures while the demo runs. A context manager."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._began = time.monotonic()
        self._next_line = 0.0
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, sent: int, now: Tally) -> None:
        """Show the current figures."""
        passed = time.monotonic() - self._began
        dead = sum(now.dead.values())
        figures = {
            "sent": sent,
            "deferred": now.deferred,
            "delivered": now.delivered,
            "dead-lettered": dead,
            "under way": now.unaccounted,
        }
        if self._live is not None:
            self._live.update(self._bars(figures), refresh=True)
        elif passed >= self._next_line:
            self._next_line = passed + LINE_SECONDS
            line = "  ".join(f"{name} {count:,}" for name, count in figures.items())
            self._console.print(f"{passed:5.1f} s  {line}")

    def _bars(self, figures: dict[str, int]) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, count in figures.items():
            table.add_row(name, ProgressBar(total=self._total, completed=count, width=50), f"{count:,}")
        return table


def show_summary(console: Console, tally: Tally, statuses: dict[int, int], seconds: float) -> None:
    """Print the ends of all events."""
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    verdict = "green" if tally.balances else "bold red"
    reasons = ", ".join(f"{count} {reason}" for reason, count in tally.dead.items())
    table.add_row("deferred", f"{tally.deferred:,}", "each promised by a 202")
    table.add_row("delivered at first try", f"{tally.first_try:,}")
    table.add_row("delivered after retries", f"{tally.after_retries:,}", "downstream was down for them")
    table.add_row("dead-lettered", f"{sum(tally.dead.values()):,}", reasons)
    table.add_row(f"[{verdict}]unaccounted for[/]", f"[{verdict}]{tally.unaccounted:,}[/]")
    if tally.twice:
        table.add_row(f"[{verdict}]delivered and dead-lettered[/]", f"[{verdict}]{tally.twice:,}[/]")
    for status, count in sorted(statuses.items()):
        if status != 202:
            answer = f"answered {status}" if status else "not answered"
            table.add_row(answer, f"{count:,}", "a forged signature: not deferred" if status == 401 else "")
    table.add_row("latency, defer to handler", f"{tally.latency(0.5) * 1000:.1f} ms", "p50")
    table.add_row("", f"{tally.latency(0.99) * 1000:.1f} ms", "p99")
    table.add_row("duration", f"{seconds:.1f} s")
    console.print(table)


def show_commands(console: Console, commands: Sequence[tuple[str, str]]) -> None:
    """Print the commands to type next, each with a sentence. The commands are on one line, to be copied."""
    for sentence, command in commands:
        console.print(f"\n{sentence}")
        console.print(f"  {command}", markup=False, style="bold")
