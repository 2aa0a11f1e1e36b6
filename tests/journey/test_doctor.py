"""`bridge-doctor` and `bridge-status --ready`, as a person and a health check run them."""

import asyncio
import json
import signal
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.journey.pool_site import is_ready
from tests.journey.site import PROGRAMS, Program, Site, eventually, site_on_sqlite
from tests.limits import PATIENCE
from tests.managed_node import ManagedNode


@pytest.fixture
def sockets() -> Iterator[str]:
    """A directory whose path is short enough for Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="bridge-", dir="/tmp") as directory:
        yield f"{directory}/control"


@pytest.fixture
def embedded(tmp_path: Path, sockets: str) -> Iterator[Site]:
    """A site on SQLite."""
    site = site_on_sqlite(tmp_path)
    site.environment["BRIDGE_CONTROL_DIRECTORY"] = sockets
    yield site
    site.remove()


@pytest.fixture
def rabbit(managed: ManagedNode, tmp_path: Path, sockets: str) -> Iterator[Site]:
    """A site on RabbitMQ."""
    site = Site(tmp_path, managed.node.url, f"j{uuid.uuid4().hex[:8]}")
    site.environment |= {"BRIDGE_CONTROL_DIRECTORY": sockets, "BRIDGE_MANAGEMENT_URL": managed.management_url}
    yield site
    site.remove()


def asked(site: Site, program: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in the site's directory, and wait until it has ended."""
    return subprocess.run(
        [str(PROGRAMS / program), *options],
        cwd=site.directory,
        env={"PATH": "/usr/bin:/bin", **site.environment, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


async def ready(site: Site, worker: Program) -> None:
    """Wait until the health check of a worker succeeds."""
    await worker.says("ready for events")
    await eventually(lambda: is_ready(site.environment), report=lambda: worker.log)


async def test_all_is_well(embedded: Site) -> None:
    """With a worker that takes events, every line is ok in both formats, and the exit code is 0."""
    worker = embedded.worker()
    await ready(embedded, worker)

    ran = asked(embedded, "bridge-doctor")
    as_json = asked(embedded, "bridge-doctor", "--json")

    assert ran.returncode == as_json.returncode == 0, ran.stdout
    assert ran.stdout.endswith("\nAll is well.\n")
    assert all(line.startswith("ok ") for line in ran.stdout.splitlines()[:-2])
    assert f"workers       process {worker.process.pid} takes events and settles them" in ran.stdout
    assert json.loads(as_json.stdout)["ok"] is True


async def test_nothing_is_well(embedded: Site) -> None:
    """Without a database file the doctor ends with 3, and reports all other findings too."""
    embedded.configure("[fastcgi]\naddresses = ['unix:/nowhere/app.sock']\n")
    (embedded.directory / "bridge.py").touch()

    ran = asked(embedded, "bridge-doctor", "--json")

    assert ran.returncode == 3, ran.stderr
    wrong = {each["subject"]: each for each in json.loads(ran.stdout)["findings"] if each["state"] == "wrong"}
    assert list(wrong) == ["installation", "broker", "pool"]
    assert wrong["installation"]["sentence"].startswith(
        f"{embedded.directory}/bridge.py hides the package 'bridge' of "
    )
    assert wrong["pool"]["sentence"] == "unix:/nowhere/app.sock cannot be connected to: No such file or directory"
    assert all(each["next_step"] for each in wrong.values())


async def test_something_is_not_well(embedded: Site) -> None:
    """A finding has its next step in the line below, and the exit code is 1."""
    await embedded.defer("do.this")

    ran = asked(embedded, "bridge-doctor")

    assert ran.returncode == 1
    assert "WRONG    consumers     no consumer; 1 event ready\n" in ran.stdout
    assert "→ start bridge-worker with these settings\n" in ran.stdout
    assert ran.stdout.endswith("Not all is well: 1 wrong.\n")


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("declare = 'perhaps'", "declare = 'perhaps' (from {file}): expected true or false"),
        (
            "management_url = 'ftp://me:sesame@host/'",
            "management_url = '…' (from {file}): expected http://",
        ),
    ],
)
def test_invalid_settings(embedded: Site, toml: str, said: str) -> None:
    """Invalid settings end the doctor with 2, and passwords are not printed."""
    embedded.configure(f"{toml}\n")

    ran = asked(embedded, "bridge-doctor")

    assert ran.returncode == 2
    assert said.format(file=embedded.directory / "bridge.toml") in ran.stderr


@pytest.mark.rabbitmq
async def test_a_site_that_declares_nothing(rabbit: Site, managed: ManagedNode) -> None:
    """A user with only write and read permissions works with the objects that `--definitions` prints: the doctor finds
    nothing wrong, and an event is delivered, retried, dead-lettered and redriven."""
    ran = asked(rabbit, "bridge-doctor", "--definitions", BRIDGE_DECLARE="false")
    (managed.node.directory / f"{rabbit.namespace}.json").write_text(ran.stdout)
    managed.node.ctl("import_definitions", str(managed.node.directory / f"{rabbit.namespace}.json"))
    own = rf"^{rabbit.namespace}\."
    url = managed.add_user(f"u{rabbit.namespace}", rf"{own}deciding$", own, own)
    rabbit.environment |= {"BRIDGE_BROKER_URL": url, "BRIDGE_DECLARE": "false"}

    worker = rabbit.worker()
    await ready(rabbit, worker)
    examined = asked(rabbit, "bridge-doctor")
    deferred = asked(rabbit, "bridge-defer", "do.this", '{"do": ["fail"]}')

    assert examined.returncode == 0, examined.stdout
    assert deferred.returncode == 0, deferred.stderr
    await eventually(lambda: "dead letter" in worker.log, report=lambda: worker.log)
    assert [effect.attempt for effect in rabbit.effects()] == [1, 2, 3]
    assert asked(rabbit, "bridge-dlq", "redrive", "--yes", "--event", "do.this").returncode == 0
    await eventually(lambda: len(rabbit.effects()) > 3, report=lambda: worker.log)


async def test_a_worker_is_ready(embedded: Site) -> None:
    """A worker is ready while it runs, but not before its start, and not while it is stopped by SIGSTOP."""
    before = asked(embedded, "bridge-status", "--ready")
    worker = embedded.worker()
    await ready(embedded, worker)
    ran = asked(embedded, "bridge-status", "--ready")
    worker.signal(signal.SIGSTOP)
    stopped = asked(embedded, "bridge-status", "--ready")
    worker.signal(signal.SIGKILL)

    assert (before.returncode, before.stdout) == (1, f"no worker runs for {embedded.broker_url}, namespace 'bridge'\n")
    assert (ran.returncode, ran.stdout) == (0, f"worker {worker.process.pid} is ready\n")
    assert (stopped.returncode, stopped.stdout) == (
        1,
        f"worker {worker.process.pid} is not ready: it does not answer\n",
    )


async def test_a_worker_without_a_pool_is_not_ready(embedded: Site) -> None:
    """A worker with live consumers, but without a slot that takes events, is not ready."""
    worker = embedded.run("bridge-worker", "--fastcgi", "unix:/nowhere/app.sock")
    await worker.says("ready for events")

    ran = asked(embedded, "bridge-status", "--ready")

    assert ran.returncode == 1
    assert "is not ready: it has no slot that takes events" in ran.stdout


@pytest.mark.rabbitmq
async def test_a_worker_without_consumers_is_not_ready(rabbit: Site, managed: ManagedNode) -> None:
    """While RabbitMQ cannot be reached the status has the reason; when the consumers are live the worker is ready
    again."""
    worker = rabbit.worker()
    await ready(rabbit, worker)

    async with away(managed):
        await worker.says("no connection to RabbitMQ")
        ran = asked(rabbit, "bridge-status", "--ready")

    assert ran.returncode == 1
    assert "is not ready: it has no live consumer on default: " in ran.stdout
    await ready(rabbit, worker)


async def test_a_queue_that_is_paused(rabbit: Site) -> None:
    """Its worker is there, and has no consumer of it: a person is asked to resume it, and nobody to start a worker."""
    worker = rabbit.worker()
    await ready(rabbit, worker)
    paused = asked(rabbit, "bridge-queues", "pause", "default", "--for", "1h", "--why", "provider down")
    assert paused.returncode == 0, paused.stderr

    def found() -> list[dict[str, str]]:
        findings = json.loads(asked(rabbit, "bridge-doctor", "--json").stdout)["findings"]
        return [each for each in findings if each["subject"] == "consumers"]

    await eventually(lambda: found()[0]["state"] == "wrong", report=lambda: worker.log)
    (finding,) = found()
    assert finding["sentence"].startswith("queue default has no consumer and holds 0 events: paused by ")
    assert finding["sentence"].endswith("UTC: provider down")
    assert finding["next_step"] == "bridge-queues resume default"


@asynccontextmanager
async def away(managed: ManagedNode) -> AsyncIterator[None]:
    """Close all connections of the node, and let it accept no new ones for the duration of the `with` block."""
    await asyncio.to_thread(managed.node.operator.suspend_listeners)
    try:
        await asyncio.to_thread(managed.node.operator.close_all_connections)
        yield
    finally:
        await asyncio.to_thread(managed.node.operator.resume_listeners)
