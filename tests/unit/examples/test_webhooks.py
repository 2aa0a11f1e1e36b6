"""The example app: what it takes, what it defers, and what its listeners do. No broker, and a real downstream."""

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app_adapter import BrokerUnavailable
from bridge.outcome import Failed, Rejected, Succeeded
from examples.webhooks import create_app
from examples.webhooks.listeners import events
from examples.webhooks.signature import HEADER, signature

SECRET = "between the sender and us"
PUSH = b'{"repository":  {"full_name": "octo/hello"}}\n'


@dataclass
class Downstream:
    """A service that answers as it is told, and remembers what it got."""

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
    client: FlaskClient, body: bytes = PUSH, kind: str = "push", changed: Mapping[str, str] | None = None
) -> TestResponse:
    headers = {"X-GitHub-Event": kind, "Content-Type": "application/json", HEADER: signature(SECRET, body)}
    return client.post("/hooks", data=body, headers=headers | dict(changed or {}))


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


def test_the_action_is_part_of_the_name(client: FlaskClient) -> None:
    """A webhook with an action is the event `hook.<kind>.<action>`."""
    body = json.dumps({"action": "opened", "repository": {"full_name": "octo/hello"}}).encode()

    with events.testing() as deferred:
        post(client, body, kind="issues")

    assert deferred[0].name == "hook.issues.opened"


@pytest.mark.parametrize("claimed", [signature("another secret", PUSH), "sha256=", "", "sha256=é"])
def test_a_wrong_signature_is_refused(client: FlaskClient, claimed: str) -> None:
    """Whoever does not know the secret gets 401, and nothing is deferred."""
    with events.testing() as deferred:
        answer = post(client, changed={HEADER: claimed})

    assert answer.status_code == 401
    assert len(deferred) == 0


def test_a_missing_signature_is_refused(client: FlaskClient) -> None:
    """No signature is a wrong one."""
    with events.testing() as deferred:
        answer = client.post("/hooks", data=PUSH, content_type="application/json")

    assert answer.status_code == 401
    assert len(deferred) == 0


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("", PUSH),
        ("push.#", PUSH),
        ("bridge.warmup", PUSH),
        ("push", b""),
        ("push", b"\xff"),
        ("push", b"[]"),
        ("push", b"17"),
        ("push", b"[" * 100_000),
        ("push", b'{"repository": "octo/hello"}'),
        ("push", b'{"repository": {"full_name": "no slash"}}'),
        ("push", b'{"repository": {"full_name": "octo/\\ud800"}}'),
        ("issues", b'{"action": 17, "repository": {"full_name": "octo/hello"}}'),
        ("issues", b'{"action": "a.b", "repository": {"full_name": "octo/hello"}}'),
    ],
)
def test_what_is_no_webhook_is_a_bad_request(client: FlaskClient, kind: str, body: bytes) -> None:
    """A signed body that says no name or no repository is answered 400, and nothing is deferred."""
    with events.testing() as deferred:
        answer = post(client, body, kind)

    assert answer.status_code == 400
    assert len(deferred) == 0


def test_another_content_type_is_not_taken(client: FlaskClient) -> None:
    """What does not say that it is JSON is answered 415."""
    assert post(client, changed={"Content-Type": "text/plain"}).status_code == 415


def test_the_sender_is_asked_to_come_again_when_nothing_could_be_deferred(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `DeferError` becomes 503 with Retry-After, never a 202 that promises nothing."""

    def away(*_: object, **__: object) -> str:
        raise BrokerUnavailable("no broker")

    monkeypatch.setattr("examples.webhooks.inbox.defer", away)

    answer = post(client)

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "10"


def test_the_row_that_the_listener_refers_to_is_committed_before_the_event_is_deferred(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another connection sees the repository at the moment of `defer()`."""
    seen: list[Any] = []

    def look(*_: object, **__: object) -> str:
        seen.extend(rows(app, "SELECT name FROM repositories"))
        return "an id"

    monkeypatch.setattr("examples.webhooks.inbox.defer", look)

    post(client)

    assert seen == [("octo/hello",)]


def test_a_replay_keeps_a_digest_and_forwards_the_body(app: Flask, client: FlaskClient, downstream: Downstream) -> None:
    """Both listeners run, and downstream gets the body byte for byte, with the event's id as its key."""
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
    """Delivery is at least once: the second run finds by the event's id that all is done."""
    with events.testing() as deferred:
        post(client)
        outcomes = [*deferred[0].replay(), *deferred[0].replay()]

    assert outcomes == [Succeeded(), Succeeded()]
    assert len(downstream.bodies) == 1
    assert rows(app, "SELECT count(*) FROM digests") == [(1,)]


def test_a_downstream_that_is_down_fails_the_event(app: Flask, client: FlaskClient, downstream: Downstream) -> None:
    """A 503 from downstream is a failure to be retried; the digest is kept and need not run again."""
    downstream.status = 503

    with events.testing() as deferred:
        post(client)
        (outcome,) = deferred.replay()

    assert isinstance(outcome, Failed)
    assert outcome.error.type.endswith("HTTPError")
    assert outcome.finished is not None
    assert [name.rpartition(":")[2] for name in outcome.finished] == ["keep_digest"]
    assert rows(app, "SELECT * FROM forwarded") == []


def test_a_downstream_that_refuses_the_connection_fails_the_event(app: Flask, client: FlaskClient) -> None:
    """Nobody listening is a failure to be retried as well."""
    app.config["DOWNSTREAM"] = "http://127.0.0.1:1/"

    with events.testing() as deferred:
        post(client)
        (outcome,) = deferred.replay()

    assert isinstance(outcome, Failed)


def test_a_downstream_that_is_gone_rejects_the_event(client: FlaskClient, downstream: Downstream) -> None:
    """410 says that it never will be wanted: no retry."""
    downstream.status = 410

    with events.testing() as deferred:
        post(client)
        (outcome,) = deferred.replay()

    assert isinstance(outcome, Rejected)
    assert "hook.push" in outcome.error.message


@pytest.mark.parametrize("missing", ["SECRET", "DATABASE", "DOWNSTREAM"])
def test_a_missing_setting_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app does not start without a setting, and says which."""
    config = {"SECRET": "s", "DATABASE": "d", "DOWNSTREAM": "u"}
    monkeypatch.delenv(f"INBOX_{missing}", raising=False)

    with pytest.raises(KeyError, match=f"INBOX_{missing}"):
        create_app({key: value for key, value in config.items() if key != missing})
