"""Limits of size, depth and rate, and what is said while the broker does not take events."""

import json
from io import BytesIO
from typing import Any

import pytest

from app_adapter.deferring import Deferring
from app_adapter.ingress.bodies import depth_of
from app_adapter.testing import Recording
from bridge.errors import (
    DeferError,
    DeferForbidden,
    DeferRejected,
    DeferUnavailable,
    DeferUnconfirmed,
    NotAllDeferred,
    PartlyRejected,
)
from tests.unit.app_adapter.ingress.ingress_site import TOKENS, IngressSite

JSON = "application/json"
BATCH = "application/cloudevents-batch+json"


def batch(size: int) -> str:
    """Return a batch of so many events."""
    event = {"specversion": "1.0", "source": "/shop", "type": "order.paid"}
    return json.dumps([{**event, "id": str(at)} for at in range(size)])


class Endless(BytesIO):
    """A body that does not end. It notes how much of it was read."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert size > 0
        self.taken += size
        return b"x" * size


def test_a_request_that_is_too_large_is_not_read(site: IngressSite, deferred: Recording) -> None:
    """Neither one that says so, nor one without an end beyond the limit."""
    body = Endless()
    for environ in (
        {"CONTENT_LENGTH": str(5 * 1024**2)},
        {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True},
    ):
        answer = site.app.test_client().post(
            "/events/order.paid",
            input_stream=body,
            headers={"Authorization": "Bearer t-all"},
            environ_overrides=environ,
        )
        assert answer.status_code == 413
        assert "expected at most 4194304 bytes" in answer.get_json(force=True)["detail"]
    assert body.taken == 4 * 1024**2 + 1
    assert not list(deferred)


@pytest.mark.parametrize(
    ("data", "content_type", "status", "detail"),
    [
        (b"x" * (1024**2 + 1), "", 413, "1048577 bytes: expected at most 1048576"),
        (b"[" * 65, JSON, 422, "the body is 65 deep: expected arrays and objects within each other at most 64"),
        (b"[" * 10**6, JSON, 422, "1000000 deep"),
        (batch(1001), BATCH, 413, "body='1001 events': expected at most 1000 events"),
    ],
)
def test_what_is_beyond_a_limit_is_refused(
    site: IngressSite, deferred: Recording, data: Any, content_type: str, status: int, detail: str
) -> None:
    """The answer names the limit."""
    answer = site.post("/events/order.paid", data, **({"Content-Type": content_type} if content_type else {}))
    assert answer.status_code == status
    assert detail in answer.get_json(force=True)["detail"]
    assert not list(deferred)


@pytest.mark.parametrize(
    ("text", "depth"),
    [("1", 0), ("[]", 1), ('[{"a": [1]}, {}]', 3), ('"[[["', 0), (r'[["\"]]", {}]]', 3), ('"[[', 0), ('"\\', 0)],
)
def test_the_depth_of_json(text: str, depth: int) -> None:
    """Brackets in strings do not count, also in those without an end."""
    assert depth_of(text.encode()) == depth


def test_depth_is_found_in_linear_time() -> None:
    """A string of a million quotes that does not end is skipped as a whole."""
    assert depth_of(b'"' + b'\\"' * 10**6) == 0


@pytest.fixture
def slow_clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the rates, as a list whose last item is the time."""
    times = [1000.0]
    monkeypatch.setattr("app_adapter.ingress.rates.time.monotonic", lambda: times[-1])
    return times


def test_a_token_has_a_rate(slow_clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its burst, 429 with the seconds to wait. Another token has its own."""
    monkeypatch.setitem(TOKENS, "all", ("t-all", '["#"]', '["defer"]\nrate = "1/s"\nburst = 3'))
    site = IngressSite()
    with site.events.testing() as deferred:
        for _ in range(3):
            assert site.post("/events/order.paid").status_code == 202
        refused = site.post("/events/order.paid")
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        assert "token 'all': expected at most 1/s events, and 3 at once" in refused.get_json(force=True)["detail"]
        assert site.post("/events/order.paid", token="t-orders").status_code == 202
        slow_clock.append(1001.0)
        assert site.post("/events/order.paid").status_code == 202
        assert site.post("/events/order.paid").status_code == 429
    assert len(deferred) == 5


def test_a_batch_larger_than_the_burst_is_taken_and_paid_for(
    slow_clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs a full burst, and the events after it wait for all of its own."""
    monkeypatch.setitem(TOKENS, "all", ("t-all", '["#"]', '["defer"]\nrate = "1/s"\nburst = 3'))
    site = IngressSite()
    with site.events.testing() as deferred:
        assert site.post("/events", batch(10), Content_Type=BATCH).status_code == 202
        refused = site.post("/events/order.paid")
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "8")
        slow_clock.append(1008.0)
        assert site.post("/events/order.paid").status_code == 202
    assert len(deferred) == 11


@pytest.mark.parametrize(
    ("error", "status", "retry_after", "members"),
    [
        (DeferUnavailable("away"), 503, "5", {}),
        (DeferRejected("full"), 503, "5", {}),
        (DeferUnconfirmed("e17", "late"), 504, "5", {"id": "e17"}),
        (PartlyRejected("e17", "full"), 504, "5", {"id": "e17"}),
        (DeferForbidden("no"), 502, None, {}),
    ],
)
@pytest.mark.parametrize("is_batch", [False, True])
def test_an_event_that_the_broker_does_not_take(
    site: IngressSite,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    retry_after: str | None,
    members: dict[str, str],
    is_batch: bool,
) -> None:
    """The status says whether and when to try again, and whether the event may run. It is never 202."""

    def refuse(*_: object) -> str:
        raise NotAllDeferred([None, None], {0: error, 1: error}) if is_batch else error  # type: ignore[dict-item]

    monkeypatch.setattr(Deferring, "defer_many" if is_batch else "defer", refuse)
    answer = site.post("/events", batch(2), Content_Type=BATCH) if is_batch else site.post("/events/order.paid")

    documents = answer.get_json(force=True) if is_batch else [answer.get_json(force=True)]
    assert (answer.status_code, answer.headers.get("Retry-After")) == (status, retry_after)
    for document in documents:
        assert document["status"] == status
        assert members.items() <= document.items()


def test_an_event_that_was_not_tried_says_so(site: IngressSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status of the batch is that of the event that was tried."""

    def refuse(*_: object) -> list[str]:
        raise NotAllDeferred([None, None], {0: DeferUnavailable("away"), 1: DeferError("not tried")})

    monkeypatch.setattr(Deferring, "defer_many", refuse)
    answer = site.post("/events", batch(2), Content_Type=BATCH)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert [each["status"] for each in answer.get_json(force=True)] == [503, 424]


def test_without_a_broker_and_spool_the_client_is_told_to_come_again() -> None:
    """No event is lost, because none was accepted. With a spool, it is accepted and on the disk."""
    settings = 'broker_url = "amqp://127.0.0.1:1/"\npublish_timeout = "500ms"\n'
    answer = IngressSite(settings).post("/events/order.paid")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")

    spooling = IngressSite(settings + 'publish = "spool"\n')
    assert spooling.post("/events/order.paid").status_code == 202


def test_rabbitmq_remembers_no_keys() -> None:
    """A request that wants that is refused, whether RabbitMQ can be reached or not."""
    answer = IngressSite('broker_url = "amqp://127.0.0.1:1/"').post("/events/order.paid", Idempotency_Key="a")
    assert answer.status_code == 422
    assert "expected a broker that remembers keys" in answer.get_json(force=True)["detail"]
