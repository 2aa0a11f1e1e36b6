"""What the headers of a request ask for: the arguments of `defer()`, and an answer."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app_adapter.listener_api import Event, Reject
from app_adapter.testing import Recording
from bridge.errors import CallLost, CallTimedOut, CallUnavailable, NobodyServes
from bridge.event import Event as BridgeEvent
from tests.unit.app_adapter.ingress.ingress_site import IngressSite

EXPIRES = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)


def test_headers_are_the_arguments_of_defer(site: IngressSite, deferred: Recording) -> None:
    """Delay, priority, expiry and key."""
    answer = site.post(
        "/events/order.paid",
        Bridge_Delay="5m",
        Bridge_Priority="low",
        Bridge_Expires=EXPIRES.isoformat(),
        Idempotency_Key='"order-17"',
    )

    [event] = deferred
    assert answer.status_code == 202
    assert event.delay == "5m"
    assert event.handling.priority == "low"
    assert (event.handling.expires, event.handling.key) == (EXPIRES, "order-17")


def test_a_moment_and_a_time_to_live(site: IngressSite, deferred: Recording) -> None:
    """As RFC 3339, and as a duration."""
    at = datetime(2030, 1, 1, 6, tzinfo=UTC)
    assert site.post("/events/order.paid", Bridge_At="2030-01-01T07:00:00+01:00").status_code == 202
    assert site.post("/events/order.paid", Bridge_Expires="10m").status_code == 202
    assert deferred[0].at == at
    expires = deferred[1].handling.expires
    assert expires is not None
    assert timedelta(minutes=9) < expires - datetime.now(UTC) <= timedelta(minutes=10)


@pytest.mark.parametrize("recorded", [True, False])
def test_a_request_that_is_sent_again_defers_one_event(site: IngressSite, recorded: bool) -> None:
    """The answer to the repeat has the id of the first, or is a conflict if that was asked for."""

    def check() -> None:
        first = site.post("/events/order.paid", Idempotency_Key="a").get_json()
        assert site.post("/events/order.paid", Idempotency_Key='"a"').get_json() == first
        assert site.post("/events/order.paid", Idempotency_Key="b").get_json() != first
        conflict = site.post("/events/order.paid", Idempotency_Key="a", Bridge_On_Duplicate="raise")
        assert (conflict.status_code, conflict.get_json(force=True)["id"]) == (409, first["id"])

    if recorded:
        with site.events.testing() as deferred:
            check()
        assert len(deferred) == 2
    else:
        check()


def test_the_id_of_a_cloudevent_is_held_if_that_is_asked(site: IngressSite, deferred: Recording) -> None:
    """By itself it is only a name."""
    headers = {"ce-specversion": "1.0", "ce-id": "17", "ce-source": "/shop", "ce-type": "order.paid"}
    for more in ({}, {}, {"Bridge-Within": "1h"}, {"Bridge-Within": "1h"}):
        assert site.post("/events", **headers, **more).status_code == 202
    assert [event.handling.key for event in deferred] == ["17"] * 3


def test_keys_may_be_names_alone(site: IngressSite) -> None:
    """With `key_within = 0`, as for RabbitMQ, which remembers no keys."""
    names = IngressSite(ingress="key_within = 0")
    with names.events.testing() as deferred:
        for _ in range(2):
            assert names.post("/events/order.paid", Idempotency_Key="a").status_code == 202
    assert len(deferred) == 2


@pytest.mark.parametrize(
    ("headers", "status", "detail"),
    [
        ({"Bridge-Delay": "soon"}, 400, "Bridge-Delay='soon': expected a time such as 30"),
        ({"Bridge-Delay": "-1"}, 400, "Bridge-Delay='-1': expected a time"),
        ({"Bridge-At": "tomorrow"}, 400, "Bridge-At='tomorrow': expected a time with its offset"),
        ({"Bridge-At": "2030-01-01T00:00:00"}, 400, "expected a time with its offset"),
        ({"Bridge-At": "2030-01-01T00:00:00Z", "Bridge-Delay": "1"}, 400, "expected no Bridge-Delay beside it"),
        ({"Bridge-Priority": "urgent"}, 400, "Bridge-Priority='urgent': expected one of high, normal, low"),
        ({"Bridge-Expires": "1990-01-01T00:00:00Z"}, 422, "expected a time after the event is due"),
        ({"Bridge-On-Duplicate": "skip"}, 400, "expected one of return, raise"),
        ({"Bridge-Within": "1h"}, 422, "expected a key"),
        ({"Idempotency-Key": ""}, 422, "expected a text of 1 to 200 printable characters"),
        ({"Prefer": "wait=soon"}, 400, "Prefer: wait='soon': expected whole seconds"),
        ({"Prefer": "wait"}, 400, "Prefer: wait=''"),
        ({"Prefer": "wait=5", "Bridge-Delay": "1"}, 400, "expected no Prefer: wait beside it"),
        ({"Prefer": "wait=5", "Idempotency-Key": "a"}, 400, "expected no Prefer: wait beside it"),
    ],
)
def test_a_wrong_header_is_a_problem(
    site: IngressSite, deferred: Recording, headers: dict[str, str], status: int, detail: str
) -> None:
    """It names the header, its value and what was expected. Nothing is deferred."""
    answer = site.post("/events/order.paid", **headers)
    assert answer.status_code == status
    assert detail in answer.get_json(force=True)["detail"]
    assert not list(deferred)


@pytest.mark.parametrize(
    ("result", "content_type", "body"),
    [
        ({"a": 1}, "application/json", b'{"a": 1}'),
        (b"\x00", "application/octet-stream", b"\x00"),
        (None, None, b"null"),
    ],
)
def test_the_answer_of_a_listener_is_returned(
    site: IngressSite, deferred: Recording, result: Any, content_type: str | None, body: bytes
) -> None:
    """With status 200. The preferences that are applied are named."""
    site.events.on("order.#")(lambda event: result)
    answer = site.post("/events/order.paid", b"{}", Prefer="respond-async, wait=5")
    assert (answer.status_code, answer.data) == (200, body)
    assert answer.content_type == (content_type or "application/json")
    assert answer.headers["Preference-Applied"] == "wait=5"
    assert not list(deferred)


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0", "return=minimal"])
def test_without_a_wait_the_event_is_deferred(site: IngressSite, deferred: Recording, prefer: str) -> None:
    """No listener runs."""
    answer = site.post("/events/order.paid", Prefer=prefer)
    assert answer.status_code == 202
    assert len(deferred) == 1


@pytest.mark.parametrize(("digits", "seconds"), [("00000000000005", 5), ("9" * 5000, 30)])
def test_a_wait_may_have_any_number_of_digits(
    site: IngressSite, deferred: Recording, digits: str, seconds: float
) -> None:
    """All of them count."""
    site.events.on("order.#")(lambda event: 1)
    answer = site.post("/events/order.paid", b"{}", Prefer=f"wait={digits}")
    assert (answer.status_code, answer.headers.get("Preference-Applied")) == (200, f"wait={seconds}")


@pytest.mark.parametrize("kind", [CallTimedOut, CallLost, CallUnavailable, NobodyServes])
def test_without_an_answer_in_time_the_event_is_deferred(
    site: IngressSite, deferred: Recording, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    """It is the event of the call, with what its headers asked for. The wait is at most the setting's."""
    asked: list[Any] = []

    def ask(_: object, event: BridgeEvent, timeout: float) -> None:
        asked.append((event, timeout))
        raise kind("no answer")

    monkeypatch.setattr("app_adapter.calling.Calling.ask", ask)
    answer = site.post("/events/order.paid", b"abc", Prefer="wait=9999", Bridge_Priority="high")

    [event] = deferred
    assert (answer.status_code, answer.get_json()) == (202, {"id": event.id})
    assert (event.payload, event.handling.priority) == (b"abc", "high")
    assert asked == [(event.event, 30)]


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [(ValueError("no price"), 502, "ValueError: no price"), (Reject("sold out"), 422, "sold out")],
)
def test_a_listener_that_fails_is_a_problem(
    site: IngressSite, deferred: Recording, error: Exception, status: int, detail: str
) -> None:
    """The event is not deferred, and no traceback is shown."""

    def fail(event: Event) -> None:
        raise error

    site.events.on("order.#")(fail)
    answer = site.post("/events/order.paid", Prefer="wait=5")
    document = answer.get_json(force=True)
    assert (answer.status_code, document["detail"]) == (status, detail)
    assert "Traceback" not in answer.text
    assert not list(deferred)
