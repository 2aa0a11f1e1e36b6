"""docs/troubleshooting.md quotes messages that the code writes."""

import re
from pathlib import Path

import pytest

from tests.unit.docs.markdown import ROOT, rows
from tests.unit.docs.test_names import RAISED

PAGE = ROOT / "docs" / "troubleshooting.md"
SOURCES = [
    path for folder in ("bridge", "app_adapter", "worker", "dead_letter") for path in (ROOT / folder).rglob("*.py")
]
OF_OTHERS = {"url_for", "bridge-dlq show", "deadline", "defer()", "broker:", "namespace", "http"}
"""Code spans in the first columns that are no messages."""


def text_of(path: Path) -> str:
    """A module's text, with literals joined that are written one after the other."""
    return re.sub(r'"\s+f?"', "", path.read_text("utf-8"))


TEXT = "\n".join(map(text_of, SOURCES))
QUOTED = [
    span
    for row in rows(PAGE.read_text("utf-8"))
    for span in re.findall(r"`([^`]+)`", row[0])
    if not span.startswith(("bridge-", "event.")) and span not in OF_OTHERS
]


def test_there_are_messages() -> None:
    """The search for them finds what the page has."""
    assert len(QUOTED) > 20


@pytest.mark.parametrize("message", QUOTED)
def test_a_message_is_one_of_the_code(message: str) -> None:
    """Each part of it, where "…" stands for what varies."""
    parts = [part.strip() for part in message.split("…")]
    assert all(part in TEXT for part in parts), message


@pytest.mark.parametrize("kind", [kind for kind in RAISED if kind.__name__ not in ("DuplicateEvent", "NotAllDeferred")])
def test_every_error_of_defer_has_a_next_step(kind: type) -> None:
    """In the table of what `defer()` raises."""
    if kind.__name__ != "DeferError":
        assert kind.__name__ in PAGE.read_text("utf-8")
