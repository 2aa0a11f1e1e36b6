"""The dev stack: docker-compose.yml and the Dockerfile are valid, and their services work."""

import http.client
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from examples.webhooks.signature import signed_headers
from tests.journey.dev_page import PageVisitor
from tests.journey.dev_stack import COMPOSE, ROOT, Stack, instructions, last_stage, services
from tests.journey.site import eventually
from tests.limits import PATIENCE

INBOX = "deferred-event-bridge-inbox"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, with all services healthy."""
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
    """Each service has a user, in docker-compose.yml or in its image's Dockerfile."""
    (image_user,) = [rest for word, rest in last_stage() if word == "USER"]
    users = {
        service.name: service.user or (image_user if service.image == INBOX else None)
        for service in services().values()
    }

    assert users == {"rabbitmq": "rabbitmq", "nginx": "101:10001"} | dict.fromkeys(
        ("tables", "app", "worker", "page"), "10001:10001"
    )


def test_every_service_is_confined() -> None:
    """No service can change its file system, has a capability, or can get a right that it does not have."""
    confined = {
        service.name: (service.read_only, list(service.cap_drop), list(service.security_opt))
        for service in services().values()
    }

    assert confined == dict.fromkeys(services(), (True, ["ALL"], ["no-new-privileges:true"]))


def test_the_worker_is_healthy_by_its_readyz() -> None:
    """The worker's health check asks for /readyz, which fails if the worker takes no events."""
    worker = services()["worker"]

    assert worker.healthcheck is not None
    assert f"http://{worker.environment['BRIDGE_HTTP']}/readyz" in worker.healthcheck["test"][-1]


def test_nothing_is_published_beyond_this_machine() -> None:
    """Every published port is on 127.0.0.1, since the passwords are public."""
    ports = [port for service in services().values() for port in service.ports]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_each_service_that_stays_has_a_health_check() -> None:
    """All services have a health check, except the one that makes the tables and exits."""
    unchecked = [service.name for service in services().values() if service.healthcheck is None]

    assert unchecked == ["tables"]


def test_the_image_owns_what_is_mounted_on_it() -> None:
    """The image makes all mount points with its user as their owner, since an empty volume gets the owner of its mount
    point."""
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
async def test_a_signed_webhook_is_forwarded(stack: Stack) -> None:
    """A webhook passes nginx, the app, RabbitMQ, the worker, and the app again, and reaches the downstream."""
    body = json.dumps({"type": "issues.opened", "repository": {"full_name": "octo/hello"}}).encode()
    secret = stack.services["app"].environment["INBOX_SECRET"]
    headers = {"Content-Type": "application/json", **signed_headers(secret, "msg_1", int(time.time()), body)}

    status, answer = post(stack, "/hooks", body, headers)

    assert status == 202, answer
    event_id = json.loads(answer)["event"]
    await eventually(lambda: forwarded(stack, event_id), report=lambda: stack.log("worker") + stack.log("app"))


@pytest.mark.rabbitmq
def test_nobody_can_replay_through_nginx(stack: Stack) -> None:
    """nginx replies 404 to a request for the replay path."""
    status, _ = post(stack, "/_bridge/hook.issues.opened", b"{}", {"CE-Id": "1", "BRIDGE-REPLAY": "1"})

    assert status == 404


@pytest.mark.rabbitmq
async def test_the_page_opens_with_the_user_of_its_file(stack: Stack) -> None:
    """The page of a site shows nothing without a session, and its queues to the user whose password page.toml names."""
    page = PageVisitor(f"http://127.0.0.1:{stack.page}")

    assert "deployments" not in page.text("/")
    page.sign_in()
    await eventually(lambda: "deployments" in page.text("/"), report=lambda: page.text("/") + stack.log("page"))


@pytest.mark.rabbitmq
def test_every_substitution_was_used_and_all_services_end_at_sigterm(stack: Stack) -> None:
    """`elsewhere` has no obsolete entry, and every service exits with 0 at SIGTERM."""
    assert stack.moved == set(stack.elsewhere)
    assert stack.down() == dict.fromkeys(("nginx", "page", "worker", "app"), 0)


def post(stack: Stack, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    """Post to nginx; return the status and the body."""
    with closing(http.client.HTTPConnection("127.0.0.1", stack.web, timeout=PATIENCE)) as connection:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()


def forwarded(stack: Stack, event_id: str) -> bool:
    """Return True if the inbox has digested and forwarded an event."""
    with closing(sqlite3.connect(stack.path("/data/inbox.db"), timeout=PATIENCE)) as rows:
        found = rows.execute("SELECT 1 FROM digests JOIN forwarded USING (event_id) WHERE event_id = ?", (event_id,))
        return found.fetchone() is not None
