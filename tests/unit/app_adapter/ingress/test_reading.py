"""What clients may see of their events, and of the workers."""

from typing import Any

import pytest
from flask import Flask, url_for

from app_adapter import DeferredEvents
from app_adapter.ingress import blueprint
from tests.unit.app_adapter.ingress.ingress_site import TOKENS, IngressSite, write_history


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> IngressSite:
    """An ingress whose token `orders` may read, with a history."""
    monkeypatch.setitem(TOKENS, "orders", ("t-orders", '["order.*"]', '["defer", "read"]'))
    monkeypatch.setitem(TOKENS, "blind", ("t-blind", '["#"]', '["defer"]'))
    write_history(
        ("e1", "order.paid", "orders", 1, "retried"),
        ("e1", "order.paid", "orders", 2, "delivered"),
        ("e1", "order.paid", "audit", 1, "dead"),
        ("e2", "mail.sent", "default", 1, "delivered"),
        ("e3", "signal.paid.shop.mail", "default", 1, "delivered"),
        ("e4", "bridge.child.lost", "default", 1, "delivered"),
    )
    return IngressSite()


def test_an_event_has_its_attempts_and_its_ends(site: IngressSite) -> None:
    """The last one in each queue."""
    found: Any = site.get("/events/e1", token="t-orders").json
    assert (found["id"], found["name"]) == ("e1", "order.paid")
    assert found["queues"] == {"orders": "delivered", "audit": "dead"}
    assert [each["attempt"] for each in found["attempts"]] == [1, 2, 1]


def test_the_newest_attempts_are_listed(site: IngressSite) -> None:
    """Those that the client may see, filtered as it asks."""

    def ends(query: str, token: str = "t-all") -> list[tuple[str, str]]:
        found: Any = site.get(f"/events{query}", token=token).json
        return [(each["id"], each["end"]) for each in found]

    assert ends("") == [("e1", "retried"), ("e1", "delivered"), ("e1", "dead"), ("e2", "delivered")]
    assert ends("?last=1") == [("e2", "delivered")]
    assert ends("?last=1", token="t-orders") == [("e1", "dead")]
    assert ends("?end=delivered&name=order.%23") == [("e1", "delivered")]


@pytest.mark.parametrize(
    ("path", "token", "status", "detail"),
    [
        ("/events/e2", "t-orders", 404, "event 'e2': expected one that has begun"),
        ("/events/1", "t-all", 404, "event '1': expected one that has begun"),
        ("/events/e1", "t-blind", 403, "expected a token with the right read"),
        ("/events", "t-blind", 403, "expected a token with the right read"),
        ("/workers", "t-blind", 403, "expected a token with the right read"),
        ("/workers", "t-orders", 403, "expected a token for all events, '#'"),
        ("/events", "", 401, "expected the header Authorization"),
        ("/events?last=0", "t-all", 400, "last='0': expected a whole number from 1 to 1000"),
        ("/events?last=000000001999999999", "t-all", 400, "last='000000001999999999': expected a whole number"),
        (f"/events?last=000000001{'0' * 4400}", "t-all", 400, "expected a whole number from 1 to 1000"),
        ("/events?last=many", "t-all", 400, "last='many': expected a whole number"),
        ("/events?since=1h", "t-all", 400, "since='1h': expected one of last, name"),
        ("/events?name=a..b", "t-all", 400, "expected dotted words"),
    ],
)
def test_what_may_not_be_seen_is_a_problem(site: IngressSite, path: str, token: str, status: int, detail: str) -> None:
    """An event of others is as one that does not exist."""
    answer = site.get(path, token=token)
    assert answer.status_code == status
    assert detail in answer.get_json(force=True)["detail"]


def test_the_workers_are_those_that_answer(site: IngressSite) -> None:
    """Here, none."""
    assert site.get("/workers").json == {"workers": [], "missing": [], "unreadable": []}


def test_the_answer_to_a_deferred_event_says_where_to_look(site: IngressSite) -> None:
    """In its header Location."""
    answer = site.post("/events/order.paid")
    assert answer.json is not None
    assert answer.headers["Location"] == f"/events/{answer.json['id']}"


@pytest.mark.parametrize("path", ["/events/order.paid", "/events"])
@pytest.mark.parametrize("prefix", ["/bridge", "/events", "/für alle"])
def test_it_looks_below_the_prefix_and_the_mount(site: IngressSite, path: str, prefix: str) -> None:
    """The header is the URL that Flask makes of the view."""
    app = Flask("shop")
    DeferredEvents(app)
    app.register_blueprint(blueprint(), url_prefix=prefix)
    headers = {"Authorization": "Bearer t-all", "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/", "ce-type": "a"}

    answer = app.test_client().post(f"{prefix}{path}", headers=headers, environ_overrides={"SCRIPT_NAME": "/mount"})

    with app.test_request_context(environ_overrides={"SCRIPT_NAME": "/mount"}):
        expected = url_for("ingress.event", event_id=answer.get_json()["id"])
    assert answer.headers["Location"] == expected


def test_a_broker_that_is_away_is_503() -> None:
    """As for events."""
    assert IngressSite('broker_url = "amqp://127.0.0.1:1/"').get("/events").status_code == 503
