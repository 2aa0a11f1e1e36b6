"""The dialect of zmws, as its users had it."""

import json
from pathlib import Path
from typing import Any

import pytest

from app_adapter.ingress import create_app
from app_adapter.ingress.access import hash_of
from app_adapter.testing import Recording
from bridge.errors import SettingsError
from tests.unit.app_adapter.ingress.ingress_site import IngressSite, write_history


@pytest.fixture
def site() -> IngressSite:
    """An ingress that speaks the dialect, for all events."""
    return IngressSite(ingress='zmws = "all"')


def test_a_job_is_deferred_with_its_parameters(site: IngressSite, deferred: Recording) -> None:
    """Of the URL and of a form. No token is needed."""
    slept = site.get("/SLEEP", token="")
    assert (slept.status_code, slept.text) == (202, f"JOB: {deferred[0].id}\n")
    site.get("/STR-REV?str=Hello,+world", token="")
    site.post("/STR-REV", {"str": "abc"}, token="")
    assert [(event.name, event.payload) for event in deferred] == [
        ("SLEEP", {}),
        ("STR-REV", {"str": "Hello, world"}),
        ("STR-REV", {"str": "abc"}),
    ]


@pytest.mark.parametrize(("value", "text"), [("dlrow", "dlrow"), ({"a": 1}, '{"a": 1}'), (b"\x00", "\x00")])
def test_a_synchronous_job_answers_with_its_value(
    site: IngressSite, deferred: Recording, value: Any, text: str
) -> None:
    """A text as it is, and other values as JSON."""
    site.events.on("STR-REV")(lambda event: value)
    answer = site.get("/SYNC-STR-REV?str=world", token="")
    assert (answer.status_code, answer.text) == (200, text)
    assert not list(deferred)


def test_a_job_that_is_not_taken_fails() -> None:
    """As plain text. The rights are those of the token."""
    site = IngressSite(ingress='zmws = "orders"')
    with site.events.testing() as deferred:
        answer = site.get("/SLEEP", token="")
        assert site.get("/SERVER-JOBS", token="").status_code == 403
    assert answer.status_code == 403
    assert answer.text.startswith("FAIL: SLEEP\ntoken 'orders': expected one of its events")
    assert not list(deferred)


def test_jobs_and_workers_are_listed(site: IngressSite) -> None:
    """In JSON."""
    write_history(("e1", "SLEEP", "default", 1, "delivered"), ("e2", "STR-REV", "default", 1, "dead"))
    jobs = json.loads(site.get("/SERVER-JOBS", token="").text)
    assert [(each["service"], each["jobid"], each["success"]) for each in jobs] == [
        ("SLEEP", "e1", True),
        ("STR-REV", "e2", False),
    ]
    assert json.loads(site.get("/SERVER-WORKERS", token="").text) == []


def test_the_dialect_is_off_by_default() -> None:
    """And a token that does not exist is refused."""
    assert IngressSite().get("/SLEEP").status_code == 404
    Path("bridge.toml").write_text(
        f'[ingress]\nzmws = "none"\n[ingress.tokens.all]\nhash = "{hash_of("a")}"\nevents = ["#"]\n'
    )
    with pytest.raises(SettingsError, match=r"ingress.zmws = 'none' .*: expected the name of a table"):
        create_app()


def test_the_other_urls_need_a_token_all_the_same(site: IngressSite) -> None:
    """The token of the dialect is for the dialect alone."""
    assert site.get("/workers", token="").status_code == 401
    assert site.post("/events/SLEEP", token="").status_code == 401
