"""The example app: its requests, its events and its listeners, without a broker and with a real downstream service."""

import base64
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app_adapter import DeferUnavailable
from bridge.outcome import Failed, Rejected, Succeeded
from examples.webhooks import create_app
from examples.webhooks.listeners import events
from examples.webhooks.signature import ID, SIGNATURE, TIMESTAMP, TOLERANCE, signed_headers
from tests.unit.app_adapter.fcgi_client import begin, params, record, served

SECRET = "whsec_" + base64.b64encode(b"between the sender and us").decode()
PUSH = b'{"type": "push", "repository":  {"full_name": "octo/hello"}}\n'


@dataclass
class Downstream:
    """A service with a configurable answer, which records its requests."""

    status: int = 204
    bodies: list[bytes] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def downstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Downstream]:
    state = Downstream()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            state.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            state.keys.append(self.headers["Idempotency-Key"])
            self.send_response(state.status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}/"
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture
def app(tmp_path: Path, downstream: Downstream) -> Flask:
    database = tmp_path / "inbox.db"
    app = create_app({"SECRET": SECRET, "DATABASE": str(database), "DOWNSTREAM": downstream.url})
    assert app.test_cli_runner().invoke(args=["init-database"]).exit_code == 0
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def post(
    client: FlaskClient, body: bytes = PUSH, changed: Mapping[str, str] | None = None, webhook_id: str = "msg_1"
) -> TestResponse:
    signed = signed_headers(SECRET, webhook_id, int(time.time()), body)
    headers = {"Content-Type": "application/json", **signed, **(changed or {})}
    return client.post("/hooks", data=body, headers=headers)


def rows(app: Flask, query: str) -> list[Any]:
    connection = sqlite3.connect(app.config["DATABASE"])
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_a_signed_webhook_is_deferred_as_it_came(client: FlaskClient) -> None:
    """The answer is 202 with the id of one event, whose data are the body byte for byte."""
    with events.testing() as deferred:
        answer = post(client)

    assert answer.status_code == 202
    event_id = answer.get_json()["event"]
    assert [(each.id, each.name, each.event.data) for each in deferred] == [(event_id, "hook.push", PUSH)]


@pytest.mark.parametrize("changed", [b"", b" "], ids=["signed", "changed after it was signed"])
def test_a_webhook_may_come_without_a_length(app: Flask, changed: bytes) -> None:
    """A sender may use chunks; bridge-pool passes them on. The signature is that of the whole body."""
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in _signed().items()}
    described = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": "", "PATH_INFO": "/hooks", **headers}
    with events.testing() as deferred, served(app) as sender:
        sender.send(begin() + params(**described) + record(5, PUSH[:9]) + record(5, PUSH[9:] + changed) + record(5))
        head = sender.output().partition(b"\r\n")[0]

    assert head == (b"Status: 401 UNAUTHORIZED" if changed else b"Status: 202 ACCEPTED")
    assert [each.event.data for each in deferred] == ([] if changed else [PUSH])


def test_the_type_is_the_name(client: FlaskClient) -> None:
    """A webhook of the type `issues.opened` is the event `hook.issues.opened`."""
    body = json.dumps({"type": "issues.opened", "repository": {"full_name": "octo/hello"}}).encode()

    with events.testing() as deferred:
        post(client, body)

    assert deferred[0].name == "hook.issues.opened"


def _signed(secret: str = SECRET, webhook_id: str = "msg_1", off: float = 0, body: bytes = PUSH) -> dict[str, str]:
    return signed_headers(secret, webhook_id, int(time.time() + off), body)


@pytest.mark.parametrize(
    "changed",
    [
        lambda: _signed("another secret"),
        lambda: _signed(body=PUSH + b" "),
        lambda: {SIGNATURE: ""},
        lambda: {SIGNATURE: "v1,"},
        lambda: {SIGNATURE: "v1,é"},
        lambda: _signed() | {SIGNATURE: _signed()[SIGNATURE].replace("v1,", "v2,")},
        lambda: _signed() | {SIGNATURE: _signed()[SIGNATURE].removeprefix("v1,")},
        lambda: {ID: "msg_2"},
        lambda: {ID: ""},
        lambda: _signed(webhook_id="../etc"),
        lambda: _signed(webhook_id="a" * 101),
        lambda: {TIMESTAMP: ""},
        lambda: {TIMESTAMP: "٣"},
        lambda: {TIMESTAMP: "1e9"},
        lambda: {TIMESTAMP: "9" * 5000},
        lambda: _signed(off=-TOLERANCE - 60),
        lambda: _signed(off=TOLERANCE + 60),
    ],
)
def test_a_webhook_that_the_sender_did_not_sign_just_now_is_refused(
    client: FlaskClient, changed: Callable[[], dict[str, str]]
) -> None:
    """A wrong secret, another body, another id, or another time: the answer is 401, and no event is deferred."""
    with events.testing() as deferred:
        answer = post(client, changed=changed())

    assert answer.status_code == 401
    assert len(deferred) == 0


def test_the_vector_of_the_specification(client: FlaskClient) -> None:
    """The signature is that of other implementations of Standard Webhooks."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = signed_headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert headers[SIGNATURE] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_sender_that_changes_its_secret_signs_with_both(client: FlaskClient) -> None:
    """One valid signature of several is enough."""
    both = " ".join((_signed("another secret")[SIGNATURE], _signed()[SIGNATURE]))

    with events.testing() as deferred:
        answer = post(client, changed=_signed() | {SIGNATURE: both})

    assert (answer.status_code, len(deferred)) == (202, 1)


def test_a_repeated_webhook_is_deferred_once(client: FlaskClient) -> None:
    """A sender that did not hear the answer sends the same id again, and gets the id of the first one's event."""
    with events.testing() as deferred:
        first, again, other = post(client), post(client), post(client, webhook_id="msg_2")

    assert first.get_json() == again.get_json() != other.get_json()
    assert len(deferred) == 2


def test_a_missing_signature_is_refused(client: FlaskClient) -> None:
    """No signature is a wrong one."""
    with events.testing() as deferred:
        answer = client.post("/hooks", data=PUSH, content_type="application/json")

    assert answer.status_code == 401
    assert len(deferred) == 0


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"\xff", b"[]", b"17", b"[" * 100_000),
        b'{"type": "push", "repository": "octo/hello"}',
        b'{"repository": {"full_name": "octo/hello"}}',
        b'{"type": "push", "repository": {"full_name": "no slash"}}',
        b'{"type": "push", "repository": {"full_name": "octo/\\ud800"}}',
        *(
            b'{"type": %s, "repository": {"full_name": "octo/hello"}}' % kind
            for kind in (b"17", b'""', b'"push.#"', b'"a.b.c"', b'"push."', b'"Push"', b"null")
        ),
    ],
)
def test_an_invalid_webhook_is_a_bad_request(client: FlaskClient, body: bytes) -> None:
    """A signed body without a type or a repository is answered 400, and no event is deferred."""
    with events.testing() as deferred:
        answer = post(client, body)

    assert answer.status_code == 400
    assert len(deferred) == 0


def test_another_content_type_is_refused(client: FlaskClient) -> None:
    """A request that is not JSON by its content type is answered 415."""
    assert post(client, changed={"Content-Type": "text/plain"}).status_code == 415


def test_the_sender_is_asked_to_send_again_if_the_defer_failed(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `DeferError` becomes 503 with Retry-After, and never a 202 without an event."""

    def away(*_: object, **__: object) -> str:
        raise DeferUnavailable("no broker")

    monkeypatch.setattr("examples.webhooks.inbox.defer", away)

    answer = post(client)

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "10"


def test_the_row_that_the_listener_refers_to_is_committed_before_the_event_is_deferred(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another connection sees the repository at the time of `defer()`."""
    seen: list[Any] = []

    def look(*_: object, **__: object) -> str:
        seen.extend(rows(app, "SELECT name FROM repositories"))
        return "an id"

    monkeypatch.setattr("examples.webhooks.inbox.defer", look)

    post(client)

    assert seen == [("octo/hello",)]


def test_a_replay_keeps_a_digest_and_forwards_the_body(app: Flask, client: FlaskClient, downstream: Downstream) -> None:
    """Both listeners run. The downstream service gets the body byte for byte, with the event's id as its key."""
    with events.testing() as deferred:
        event_id = post(client).get_json()["event"]
        outcomes = deferred.replay()

    assert outcomes == [Succeeded()]
    assert (downstream.bodies, downstream.keys) == ([PUSH], [event_id])
    assert rows(app, "SELECT event_id, event_name, repository FROM digests") == [(event_id, "hook.push", "octo/hello")]
    assert rows(app, "SELECT * FROM forwarded") == [(event_id, 1)]


def test_an_event_that_runs_twice_leaves_the_traces_of_one(
    app: Flask, client: FlaskClient, downstream: Downstream
) -> None:
    """Delivery is at least once. The second run finds by the event's id that the work is done."""
    with events.testing() as deferred:
        post(client)
        outcomes = [*deferred[0].replay(), *deferred[0].replay()]

    assert outcomes == [Succeeded(), Succeeded()]
    assert len(downstream.bodies) == 1
    assert rows(app, "SELECT count(*) FROM digests") == [(1,)]


def test_a_downstream_that_is_down_fails_the_event(app: Flask, client: FlaskClient, downstream: Downstream) -> None:
    """A 503 is a failure that is retried. The digest is kept, and its listener need not run again."""
    downstream.status = 503

    with events.testing() as deferred:
        post(client)
        (outcome,) = deferred.replay(check=False)

    assert isinstance(outcome, Failed)
    assert outcome.error.type.endswith("HTTPError")
    assert outcome.finished is not None
    assert [name.rpartition(":")[2] for name in outcome.finished] == ["keep_digest"]
    assert rows(app, "SELECT * FROM forwarded") == []


def test_a_downstream_that_refuses_the_connection_fails_the_event(app: Flask, client: FlaskClient) -> None:
    """A refused connection is a failure that is retried too."""
    app.config["DOWNSTREAM"] = "http://127.0.0.1:1/"

    with events.testing() as deferred:
        post(client)
        (outcome,) = deferred.replay(check=False)

    assert isinstance(outcome, Failed)


def test_a_downstream_that_is_gone_rejects_the_event(client: FlaskClient, downstream: Downstream) -> None:
    """410 means that the event will never be wanted, so there is no retry."""
    downstream.status = 410

    with events.testing() as deferred:
        post(client)
        (outcome,) = deferred.replay(check=False)

    assert isinstance(outcome, Rejected)
    assert "hook.push" in outcome.error.message


@pytest.mark.parametrize("missing", ["SECRET", "DATABASE", "DOWNSTREAM"])
def test_a_missing_setting_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app does not start, and the error names the setting."""
    config = {"SECRET": "s", "DATABASE": "d", "DOWNSTREAM": "u"}
    monkeypatch.delenv(f"INBOX_{missing}", raising=False)

    with pytest.raises(KeyError, match=f"INBOX_{missing}"):
        create_app({key: value for key, value in config.items() if key != missing})
