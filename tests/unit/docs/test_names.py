"""Each name that an app imports, and each word for an event's end, is documented."""

import inspect
import re
from typing import get_args

import pytest
from click.testing import CliRunner

import deferred_event_bridge
from app_adapter import cli
from bridge import errors
from bridge.settlement import Reason
from tests.unit.docs.commands import PROGRAMS
from tests.unit.docs.markdown import DOCS, ROOT, rows, section

DEFERRING = ROOT / "docs" / "deferring.md"
ERRORS = rows(section(DEFERRING, "Errors"))
SUBJECT = re.compile(r"""\b(?:ok|wrong|unknown)\(\s*"([a-z ]+)",""")
RAISED = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.DeferError) and kind is not errors.PartlyRejected  # a DeferUnconfirmed for callers
]
NOT_OF_THE_PROGRAM = {errors.DuplicateEvent, errors.NotAllDeferred}
"""`bridge-defer` prints the id of the first event, and defers one event at a time."""


def test_every_public_name_is_documented() -> None:
    """In a code span of a page."""
    text = "\n".join(page.read_text("utf-8") for page in DOCS)
    assert [name for name in deferred_event_bridge.__all__ if name not in text] == []


@pytest.mark.parametrize("kind", RAISED)
def test_every_error_of_defer_is_documented(kind: type[errors.DeferError]) -> None:
    """In the table of what `defer()` raises; and it can be imported from where the page says."""
    assert [row for row in ERRORS if f"`{kind.__name__}`" in row[0]]
    assert getattr(deferred_event_bridge, kind.__name__) is kind


@pytest.mark.parametrize("kind", [kind for kind in RAISED if kind not in NOT_OF_THE_PROGRAM])
def test_the_exit_codes_of_bridge_defer_are_as_documented(
    kind: type[errors.DeferError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 for the errors that the page names, 2 for all others."""

    def refuse(*_: object, **__: object) -> None:
        raise kind("id", "why") if kind is errors.DeferUnconfirmed else kind("why")

    monkeypatch.setattr(cli, "publish", refuse)
    code = CliRunner().invoke(PROGRAMS["bridge-defer"], ["a.b"]).exit_code
    sentence = section(DEFERRING, "From a shell").rpartition("with 3 for")[2]
    assert code == (3 if f"`{kind.__name__}`" in sentence else 2)


def test_every_reason_of_a_dead_letter_is_documented() -> None:
    """In the table of reasons."""
    table = {row[0].strip("*") for row in rows(section(ROOT / "docs" / "dead-letters.md", "Why an event died"))}
    assert table == set(get_args(Reason))


def test_every_line_of_the_doctor_is_documented() -> None:
    """Each subject that the sources make a finding about has a row."""
    brokers = ROOT / "bridge" / "brokers"
    sources = [
        *(ROOT / "worker" / "doctor").glob("*.py"),
        *brokers.glob("*/inspection/*.py"),
        *brokers.glob("any_broker/*_findings.py"),
    ]
    found = {subject for path in sources for subject in SUBJECT.findall(path.read_text("utf-8"))}
    table = rows((ROOT / "docs" / "doctor.md").read_text("utf-8"))
    assert found == {subject for row in table for subject in row[0].split(", ")}
