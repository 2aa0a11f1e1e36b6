"""Events over HTTP: what is deferred, byte for byte, and the answers about requests that cannot be served."""

from http import HTTPStatus
from io import BytesIO

import pytest
from flask import Flask

from app_adapter.extension import DeferredEvents
from app_adapter.ingress import blueprint, create_app
from app_adapter.testing import Recording
from bridge.errors import SettingsError
from tests.unit.app_adapter.ingress.ingress_site import IngressSite


@pytest.mark.parametrize(
    ("content_type", "data", "kept"),
    [
        ("application/json", b' {"a": 1.50}\n', ("application/json", b' {"a": 1.50}\n')),
        ("application/pdf", b"\x00\xff", ("application/pdf", b"\x00\xff")),
        ("application/pdf", b"", ("application/pdf", b"")),
        ("application/x-www-form-urlencoded", b"a=1&b=2", ("application/x-www-form-urlencoded", b"a=1&b=2")),
        ("", b"abc", ("application/octet-stream", b"abc")),
        ("", b"", ("application/json", b"null")),
        ("application/json", b"", ("application/json", b"null")),
    ],
)
def test_any_body_is_kept(
    site: IngressSite, deferred: Recording, content_type: str, data: bytes, kept: tuple[str, bytes]
) -> None:
    """Byte for byte, with its content type. No body is JSON's null."""
    answer = site.post("/events/order.paid", data, **({"Content_Type": content_type} if content_type else {}))

    [event] = deferred
    assert (answer.status_code, answer.json) == (202, {"id": event.id})
    assert (event.name, event.event.source) == ("order.paid", "ingress")
    assert (event.event.content_type, event.event.data) == kept


def test_an_event_is_confirmed_by_the_broker() -> None:
    """Without a recording it is published: here, to SQLite. A name that no queue takes is not."""
    site = IngressSite('[queues.orders]\npatterns = ["order.*"]')
    assert site.post("/events/order.paid", b"{}").status_code == 202

    nobody = site.post("/events/mail.sent", b"{}")
    assert nobody.status_code == 404
    assert "mail.sent" in nobody.get_json(force=True)["detail"]


def test_chunks_without_a_length_are_read(site: IngressSite, deferred: Recording) -> None:
    """As a server passes an upload that it streams."""
    answer = site.app.test_client().post(
        "/events/order.paid",
        input_stream=BytesIO(b"x" * 100_000),
        headers={"Authorization": "Bearer t-all", "Transfer-Encoding": "chunked"},
        environ_overrides={"CONTENT_LENGTH": "", "wsgi.input_terminated": True},
    )

    assert answer.status_code == 202
    assert [len(event.event.data) for event in deferred] == [100_000]


@pytest.mark.parametrize(
    ("path", "data", "headers", "status", "detail"),
    [
        ("/events/a..b", b"", {}, 422, "event name 'a..b': expected dotted words"),
        ("/events/bridge.x", b"", {}, 422, "expected a name that does not begin with 'bridge.'"),
        ("/events/a", b"{", {"Content_Type": "application/json"}, 400, "the body: expected JSON in UTF-8"),
        ("/events/a", b"[NaN]", {"Content_Type": "application/json"}, 400, "NaN is not JSON"),
        ("/events/a", b"\xff", {"Content_Type": "a/b+json"}, 400, "the body: expected JSON in UTF-8"),
        ("/events", b"x", {"Content_Type": "text/plain"}, 400, "Content-Type='text/plain': expected a CloudEvent"),
        ("/nothing", b"", {}, 404, "was not found"),
    ],
)
def test_a_wrong_request_is_a_problem(
    site: IngressSite, deferred: Recording, path: str, data: bytes, headers: dict[str, str], status: int, detail: str
) -> None:
    """As RFC 9457 describes it, with what was expected. Nothing is deferred."""
    answer = site.post(path, data, **headers)

    assert answer.content_type == "application/problem+json"
    document = answer.get_json(force=True)
    assert (answer.status_code, document["status"], document["title"]) == (status, status, HTTPStatus(status).phrase)
    assert detail in document["detail"]
    assert not list(deferred)


def test_a_problem_names_key_value_and_what_was_expected(site: IngressSite, deferred: Recording) -> None:
    """As fields, for programs."""
    document = site.post("/events", b"", Content_Type="text/plain").get_json(force=True)
    assert (document["key"], document["value"]) == ("Content-Type", "'text/plain'")
    assert document["expected"].startswith("expected a CloudEvent")


def test_a_blueprint_is_mounted_in_an_app_of_ones_own(site: IngressSite) -> None:
    """Below a prefix. The events come from that app."""
    app = Flask("shop")
    events = DeferredEvents(app)
    app.register_blueprint(blueprint(), url_prefix="/in")
    with events.testing() as deferred:
        answer = app.test_client().post("/in/events/order.paid", headers={"Authorization": "Bearer t-all"})
    assert answer.status_code == 202
    assert [event.event.source for event in deferred] == ["shop"]


def test_a_blueprint_needs_an_extension(site: IngressSite) -> None:
    """It says so when it is registered."""
    with pytest.raises(SettingsError, match=r"the app 'shop': expected DeferredEvents\(app\) before"):
        Flask("shop").register_blueprint(blueprint())


def test_without_tokens_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to make one."""
    with pytest.raises(SettingsError, match=r"ingress.tokens \(from default\): expected one token .*bridge-ingress"):
        create_app()


def test_the_import_by_the_name_of_the_distribution() -> None:
    """`bridge-pool` is given that name."""
    import deferred_event_bridge.ingress as face

    assert (face.create_app, face.blueprint) == (create_app, blueprint)
