"""docs/errors.md, docs/metrics.md and docs/api.md have all that exists, and nothing else."""

import inspect
import re

import deferred_event_bridge
from bridge import errors
from bridge.history import DEAD, RETRIED
from tests.unit.docs.markdown import ROOT, rows, section

ERRORS = ROOT / "docs" / "errors.md"
METRICS = (ROOT / "docs" / "metrics.md").read_text("utf-8")
API = (ROOT / "docs" / "api.md").read_text("utf-8")
PUBLIC = {name: getattr(deferred_event_bridge, name) for name in deferred_event_bridge.__all__}
EXCEPTIONS = {name for name, value in PUBLIC.items() if inspect.isclass(value) and issubclass(value, Exception)}
SIGNALS = {name for name in PUBLIC if name.startswith("event_") or name == "moment_occurred"}


def test_every_public_exception_is_explained() -> None:
    """In one of the tables or sections of the page about errors."""
    text = ERRORS.read_text("utf-8")
    assert [name for name in EXCEPTIONS if f"`{name}`" not in text] == []


def test_the_bases_of_exceptions_are_as_documented() -> None:
    """Each row names the classes that catch it."""
    table = rows(section(ERRORS, "In code that defers, calls and cancels"))
    for exception, bases, *_ in table:
        kind = getattr(errors, re.findall(r"`(\w+)`", exception)[0])
        assert re.findall(r"`(\w+)`", bases) == [base.__name__ for base in kind.__bases__], exception


def test_the_reference_of_the_api_has_every_public_name() -> None:
    """The signals are named, all others are taken from the code."""
    documented = set(re.findall(r"auto\w+:: deferred_event_bridge\.(\w+)", API))
    assert documented - {"outbox", "ingress"} == set(PUBLIC) - SIGNALS
    assert [name for name in SIGNALS if f"`{name}`" not in API] == []


def test_the_metrics_that_are_asked_for_exist() -> None:
    """In the table of all metrics, with the labels and words that they have."""
    known = set(re.findall(r"^\| `(bridge_\w+)`", (ROOT / "docs" / "monitoring.md").read_text("utf-8"), re.MULTILINE))
    asked = {name.removesuffix("_bucket") for name in re.findall(r"bridge_\w+", METRICS)}
    assert asked <= known
    assert set(re.findall(r'outcome="(\w+)"', METRICS)) == {DEAD, RETRIED}
