"""docs/errors.md, docs/metrics.md, docs/privacy.md and docs/api.md have all that exists, and nothing else."""

import inspect
import re
from collections.abc import Callable
from importlib.util import find_spec

import pytest

import deferred_event_bridge
from bridge import errors
from bridge.brokers.rabbitmq.topology.declarations import HEADS, HEADS_RETENTION
from bridge.history import DEAD, RETRIED
from bridge.site_logs import SITE_LOGS, SiteLog
from tests.unit.docs.markdown import DOCS, ROOT, rows, section

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
        assert set(kind.__bases__) <= set(PUBLIC.values()), exception


def test_the_reference_of_the_api_has_every_public_name() -> None:
    """The signals are named, all others are taken from the code."""
    documented = set(re.findall(r"auto\w+:: deferred_event_bridge\.(\w+)", API))
    assert documented - {"outbox", "ingress", "dashboard"} == set(PUBLIC) - SIGNALS
    assert [name for name in SIGNALS if f"`{name}`" not in API] == []


def test_the_internal_modules_that_pages_use_are_listed() -> None:
    """The reference of the API has each module of `bridge` that another page imports from or names."""
    named = re.compile(
        r"from (bridge\.[a-z_.]+) import|(?:of|in)\s+`(bridge\.[a-z_.]+)`|`(bridge\.[a-z_.]+)\.[A-Z][a-z]+`"
    )
    pages = [page.read_text("utf-8") for page in DOCS if page.stem not in ("api", "architecture")]
    used = {next(filter(None, found)) for text in pages for found in named.findall(text)}
    listed = {row[0].strip("`") for row in rows(API)}
    assert listed == {module for module in used if find_spec(module) is not None}


@pytest.mark.parametrize(
    ("page", "shown", "function"),
    [
        ("deferring.md", "defer", deferred_event_bridge.defer),
        ("listening.md", "@events.on", deferred_event_bridge.DeferredEvents.on),
    ],
)
def test_a_signature_is_shown_as_it_is(page: str, shown: str, function: Callable[..., object]) -> None:
    """Each argument with its default, in their order."""
    parameters = inspect.signature(function).parameters.values()
    plain = [each.replace(annotation=inspect.Parameter.empty) for each in parameters if each.name != "self"]
    signature = str(inspect.Signature(plain)).replace("'", '"')
    assert f"`{shown}{signature}`" in " ".join((ROOT / "docs" / page).read_text("utf-8").split())


def test_every_log_of_a_site_is_among_the_places_of_data() -> None:
    """With the time and the size that are kept."""
    places = {row[0]: row[2] for row in rows((ROOT / "docs" / "privacy.md").read_text("utf-8"))}
    for log in [*SITE_LOGS, SiteLog(HEADS, HEADS_RETENTION)]:
        [until] = [cell for place, cell in places.items() if f"the log `{log.name}`" in place]
        age = f"{log.retention.age.days} days, " if log.retention.age is not None else ""
        assert until == f"{age}the newest {(log.retention.size or 0) // 1024**2} MiB", log.name


def test_the_metrics_that_are_asked_for_exist() -> None:
    """In the table of all metrics, with the labels and words that they have."""
    known = set(re.findall(r"^\| `(bridge_\w+)`", (ROOT / "docs" / "monitoring.md").read_text("utf-8"), re.MULTILINE))
    asked = {name.removesuffix("_bucket") for name in re.findall(r"bridge_\w+", METRICS)}
    assert asked <= known
    assert set(re.findall(r'outcome="(\w+)"', METRICS)) == {DEAD, RETRIED}
