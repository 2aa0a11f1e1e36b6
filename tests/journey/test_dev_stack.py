"""The dev stack: docker-compose.yml and the Dockerfile are sound, and what they say works."""

import http.client
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from examples.webhooks.signature import HEADER, signature
from tests.journey.dev_stack import COMPOSE, ROOT, Stack, instructions, last_stage, services
from tests.journey.site import eventually

INBOX = "deferred-event-bridge-inbox"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, up and healthy."""
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        stack.up()
        yield stack
    finally:
        stack.remove()


def test_the_file_keeps_to_the_schema() -> None:
    """docker-compose.yml is valid by the schema of the Compose Specification."""
    program = Path(sys.executable).with_name("check-jsonschema")
    checked = subprocess.run(
        [program, "--builtin-schema", "vendor.compose-spec", COMPOSE], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stdout


def test_nothing_runs_as_root() -> None:
    """Each service names a user, or its image's Dockerfile does."""
    (image_user,) = [rest for word, rest in last_stage() if word == "USER"]
    users = {
        service.name: service.user or (image_user if service.image == INBOX else None)
        for service in services().values()
    }

    assert users == {"rabbitmq": "rabbitmq", "nginx": "101:10001"} | dict.fromkeys(
        ("tables", "app", "worker"), "10001:10001"
    )


def test_nothing_is_published_beyond_this_machine() -> None:
    """Every published port is on 127.0.0.1: the passwords are known to all."""
    ports = [port for service in services().values() for port in service.ports]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_each_service_that_stays_has_a_health_check() -> None:
    """Only the one that makes the tables ends by itself."""
    unchecked = [service.name for service in services().values() if service.healthcheck is None]

    assert unchecked == ["tables"]


def test_the_image_owns_what_is_mounted_on_it() -> None:
    """An empty volume takes over its mount point's owner, so that an unprivileged process can write there."""
    (made,) = [rest for word, rest in last_stage() if word == "RUN"]
    mounted = {target for service in services().values() if service.image == INBOX for target in service.mounts}

    assert mounted
    assert mounted <= set(made.partition("install -d -o bridge -g bridge")[2].split())


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    """Each source of a COPY exists, and .dockerignore lets it through."""
    copied = [
        part
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for part in rest.split()[:-1]
    ]
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert "worker" in copied
    assert all((ROOT / path).exists() for path in copied)
    assert set(copied) == let_through


@pytest.mark.rabbitmq
async def test_a_signed_webhook_takes_its_way(stack: Stack) -> None:
    """From nginx to the app, over RabbitMQ to the worker, into the app again, and on to the downstream."""
    body = json.dumps({"action": "opened", "repository": {"full_name": "octo/hello"}}).encode()
    secret = stack.services["app"].environment["INBOX_SECRET"]
    headers = {"Content-Type": "application/json", "X-GitHub-Event": "issues", HEADER: signature(secret, body)}

    status, answer = post(stack, "/hooks", body, headers)

    assert status == 202, answer
    event_id = json.loads(answer)["event"]
    await eventually(lambda: forwarded(stack, event_id), report=lambda: stack.log("worker") + stack.log("app"))


@pytest.mark.rabbitmq
def test_nobody_can_replay_through_nginx(stack: Stack) -> None:
    """The replay path is 404 from outside."""
    status, _ = post(stack, "/_bridge/hook.issues.opened", b"{}", {"CE-Id": "1", "BRIDGE-REPLAY": "1"})

    assert status == 404


@pytest.mark.rabbitmq
def test_all_of_it_was_run_and_ends_in_good_order(stack: Stack) -> None:
    """No substitution is left over from another time, and at SIGTERM every service ends by itself."""
    assert stack.moved == set(stack.elsewhere)
    assert stack.down() == dict.fromkeys(("nginx", "worker", "app"), 0)


def post(stack: Stack, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    """Post to nginx, and return status and body."""
    with closing(http.client.HTTPConnection("127.0.0.1", stack.web, timeout=30)) as connection:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()


def forwarded(stack: Stack, event_id: str) -> bool:
    """Tell whether the inbox has digested an event, and forwarded it."""
    with closing(sqlite3.connect(stack.path("/data/inbox.db"), timeout=10)) as rows:
        found = rows.execute("SELECT 1 FROM digests JOIN forwarded USING (event_id) WHERE event_id = ?", (event_id,))
        return found.fetchone() is not None
