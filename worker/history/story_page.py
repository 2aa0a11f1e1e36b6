"""The story of an event as text for people."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console

from bridge.console.terminal import print_text
from worker.history.rendering import moment_text
from worker.history.story import Known, facts_of, present_of


def print_story(
    console: Console, known: Known, now: datetime, unknown: Sequence[str], *, blank_before: bool = False
) -> None:
    """Print the line of time of an event, its present state, and what cannot be known."""
    if blank_before:
        print_text(console, "")
    key = "".join(f", key {key}" for key in known.keys)
    print_text(console, f"{known.name or 'event'} {known.id}{key}", "bold")
    facts = facts_of(known)
    width = max((len(fact.source) for fact in facts), default=0)
    for fact in facts:
        print_text(console, f"  {moment_text(fact.time)}  {fact.source.ljust(width)}  {fact.text}")
    for text in present_of(known, now):
        print_text(console, f"  now: {text}")
    for text in unknown:
        print_text(console, f"  {text}", "dim")
