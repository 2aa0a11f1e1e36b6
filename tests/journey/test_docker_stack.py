"""The dev stack in Docker: `docker compose up` builds and starts it on an engine of its own, and leaves nothing.

The base images come from Debian (base_images/), since none can be pulled in a test.
"""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from examples.webhooks.signature import signed_headers
from tests.journey.dev_page import PageVisitor
from tests.journey.dev_stack import services
from tests.journey.docker_engine import DockerEngine, NoEngine
from tests.journey.site import eventually
from tests.limits import PATIENCE

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

PROJECT = "deferred-event-bridge"
STAYING = sorted(set(services()) - {"tables"})


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerEngine]:
    """An engine that has the stack built and up, with all services healthy."""
    engine = DockerEngine()
    try:
        engine.start()
        engine.import_tree("debian-tree")
        engine.docker("compose", "-f", "tests/journey/base_images/compose.yml", "build", "--quiet")
        engine.docker("compose", "up", "--build", "--wait", "--wait-timeout", "400")
        yield engine
    except NoEngine as reason:
        pytest.skip(str(reason))
    finally:
        engine.remove()


async def test_a_webhook_is_forwarded_between_containers(engine: DockerEngine) -> None:
    """A signed webhook passes nginx, the app, RabbitMQ, the worker and the app again, and reaches the downstream."""
    body = json.dumps({"type": "issues.opened", "repository": {"full_name": "octo/hello"}}).encode()
    secret = services()["app"].environment["INBOX_SECRET"]
    headers = {"Content-Type": "application/json", **signed_headers(secret, "msg_1", int(time.time()), body)}

    status, answer = engine.in_network(lambda: posted("/hooks", body, headers))

    assert status == 202, answer
    event = json.loads(answer)["event"]
    await eventually(lambda: is_forwarded(engine, event), report=lambda: engine.docker("compose", "logs", "worker"))


async def test_the_page_is_published_and_closed(engine: DockerEngine) -> None:
    """The page shows nothing without a session, and the site's queues to the user of page.toml."""
    page = PageVisitor("http://127.0.0.1:8090")

    def seen() -> str:
        return engine.in_network(lambda: page.text("/"))

    assert "deployments" not in seen()
    engine.in_network(page.sign_in)
    await eventually(lambda: "deployments" in seen(), report=seen)


@pytest.mark.parametrize("service", STAYING)
def test_the_kernel_confines_each_container(engine: DockerEngine, service: str) -> None:
    """No first process of a container is root, has or can get a capability, or can write to its root file system."""
    pid = engine.docker("inspect", f"{PROJECT}-{service}-1", "--format", "{{.State.Pid}}").strip()
    fields = dict(line.split(":\t", 1) for line in engine.run("cat", f"/proc/{pid}/status").splitlines())
    mounts = [line.split() for line in engine.run("cat", f"/proc/{pid}/mounts").splitlines()]

    assert "0" not in fields["Uid"].split()
    assert {int(fields[kind], 16) for kind in ("CapPrm", "CapEff", "CapInh", "CapAmb", "CapBnd")} == {0}
    assert fields["NoNewPrivs"] == "1"
    assert [mount[3].split(",")[0] for mount in mounts if mount[1] == "/"] == ["ro"]


def test_the_health_check_is_the_workers_readyz(engine: DockerEngine) -> None:
    """The worker's container answers /readyz with 200, and nobody outside of it can ask."""
    asked = "import urllib.request as http; print(http.urlopen('http://127.0.0.1:9464/readyz').read())"

    assert "ready" in engine.docker("compose", "exec", "-T", "worker", "python", "-c", asked)
    with pytest.raises(ConnectionRefusedError):
        engine.in_network(lambda: http.client.HTTPConnection("127.0.0.1", 9464, timeout=PATIENCE).connect())


async def test_down_ends_all_in_good_order_and_leaves_nothing(engine: DockerEngine) -> None:
    """Each service exits with 0 when it is stopped, and `down --volumes` leaves no container, volume or network."""

    def ended() -> list[str]:
        return engine.docker("ps", "--all", "--filter=status=exited", "--format={{.Names}} {{.Status}}").splitlines()

    engine.docker("compose", "stop")
    await eventually(lambda: len(ended()) == len(services()), report=lambda: engine.docker("ps"))
    assert [line for line in ended() if " Exited (0)" not in line] == []

    engine.docker("compose", "down", "--volumes")
    assert engine.docker("ps", "--all", "--quiet") == ""
    assert engine.docker("volume", "ls", "--quiet") == ""
    assert engine.docker("network", "ls", "--filter", "type=custom", "--quiet") == ""


def posted(path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    """Post to nginx; return the status and the body."""
    with closing(http.client.HTTPConnection("127.0.0.1", 8080, timeout=PATIENCE)) as connection:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()


def is_forwarded(engine: DockerEngine, event: str) -> bool:
    """Return True if the inbox has digested and forwarded the event, by its database."""
    query = f"SELECT count(*) FROM digests JOIN forwarded USING (event_id) WHERE event_id = '{event}'"
    asked = f'import sqlite3; print(*sqlite3.connect("/data/inbox.db").execute("{query}").fetchone())'
    return engine.docker("compose", "exec", "-T", "app", "python", "-c", asked).strip() == "1"
