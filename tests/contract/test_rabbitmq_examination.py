"""The doctor's findings about RabbitMQ: a sentence for each problem, and a next step that solves it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from aiormq.abc import AbstractChannel

from bridge.brokers.contract.findings import Finding, FindingState
from bridge.brokers.contract.inspection import SiteOnBroker
from bridge.brokers.opening import inspect
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.brokers.rabbitmq.topology.declarations import Binding, declarations, objects
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.config.settings import load_settings
from bridge.queues import Queue
from tests.contract.acts import a_letter, an_event, consuming, eventually, take
from tests.contract.examining import (
    QUEUES,
    about,
    becomes,
    declared,
    delete,
    elsewhere,
    findings_about,
    follow,
    hurt,
    site_of_its_own,
    the_wrong_one,
)
from tests.managed_node import ManagedNode
from tests.ports import free_port
from tests.rabbitmq_node import RabbitNode
from worker.doctor import ledger

pytestmark = pytest.mark.rabbitmq


@pytest.fixture(scope="module")
def standing(managed: ManagedNode) -> SiteOnBroker:
    """A site that is in order, except that it has no consumers. A test that damages it repairs it."""
    place = SiteOnBroker(managed.node.url, "standing", QUEUES, management_url=managed.management_url)
    asyncio.run(declared(place))
    return place


@pytest.fixture
async def own(managed: ManagedNode) -> AsyncIterator[SiteOnBroker]:
    """A site of the test's own."""
    async with site_of_its_own(managed) as place:
        yield place


async def test_all_is_well(own: SiteOnBroker) -> None:
    """With declared queues and live consumers, every finding is ok, and each subject has one."""
    broker = RabbitBroker.from_url(own.url, own.namespace)
    await consuming(broker, "mail", "default")

    examination = await inspect(own)

    await broker.close()
    assert examination.reached
    assert [finding for finding in examination.findings if finding.state is not FindingState.OK] == []
    assert [finding.subject for finding in examination.findings] == [
        *("broker", "permissions", "topology", "alarms", "unrouted", "consumers", "waiting"),
        *("bindings", "policies", "delayed", "timeout", "clock"),
    ]


async def test_a_queue_of_other_settings(own: SiteOnBroker) -> None:
    """A queue that a worker with other settings serves is no fault."""
    broker = RabbitBroker.from_url(own.url, own.namespace)
    await consuming(broker, "mail", "default")

    (found,) = await becomes(replace(own, queues=(Queue("default"),)), "queues", FindingState.OK)

    await broker.close()
    name = f"{own.namespace}.q.mail"
    assert found.sentence.startswith(f"{name} holds 0 events, takes 'mail.#' and is not in the settings; 1 worker")


async def test_many_open_dead_letters(own: SiteOnBroker) -> None:
    """Many dead letters without a decision are wrong."""
    broker = RabbitBroker.from_url(own.url, own.namespace)
    consumer = await consuming(broker, "default")
    for _ in range(10):
        await broker.publisher().publish(an_event())
        delivery = await take(consumer)
        await delivery.dead_letter(a_letter(delivery))

    settings = load_settings(command_line={"broker_url": own.url, "namespace": own.namespace}, environ={})
    (found,) = [each for each in await ledger.examine(settings) if each.subject == "dead letters"]

    await broker.close()
    assert found.state is FindingState.WRONG
    assert found.sentence.startswith("10 dead letters without a decision, the oldest for ")


async def test_it_makes_nothing(managed: ManagedNode) -> None:
    """An examination of an empty broker reports that, and creates nothing."""
    place = SiteOnBroker(managed.node.url, "absent", QUEUES, management_url=managed.management_url)

    found = await the_wrong_one(place, "topology")

    all_ = len(objects(Names("absent"), QUEUES))
    assert found.sentence.startswith(f"{all_} of {all_} exchanges and queues do not exist: exchange 'absent.unrouted'")
    assert "start bridge-worker" in (found.next_step or "")
    assert "absent" not in str(managed.request("GET", "/api/definitions"))


async def test_a_binding_that_is_left_over(managed: ManagedNode, own: SiteOnBroker) -> None:
    """A binding by a pattern of former settings still takes events; it is reported with the request that removes it."""
    name = f"{own.namespace}.q.mail"
    await hurt(own, lambda channel: channel.queue_bind(name, f"{own.namespace}.events", "old.*.#"))

    found = await the_wrong_one(own, "bindings")

    assert found.sentence == f"left over: {own.namespace}.events to {name} by 'old.*.#'"
    delete(managed, found)
    await becomes(own, "bindings", FindingState.OK)


async def test_a_binding_that_is_somebody_elses(own: SiteOnBroker) -> None:
    """A foreign queue that is bound to the bridge's exchange is not reported."""

    async def listen(channel: AbstractChannel) -> None:
        await channel.queue_declare("audit", auto_delete=True)
        await channel.queue_bind("audit", f"{own.namespace}.events", "#")

    await hurt(own, listen)

    assert [finding.state for finding in about(await inspect(own), "bindings")] == [FindingState.OK]
    await hurt(own, lambda channel: channel.queue_delete("audit"))


async def test_a_binding_that_is_not_there(own: SiteOnBroker) -> None:
    """A missing binding is reported; a worker that starts declares it again."""
    source, target = f"{own.namespace}.events", f"{own.namespace}.q.mail"
    await hurt(own, lambda channel: channel.queue_unbind(target, source, "mail.#"))

    found = await the_wrong_one(own, "bindings")

    all_ = sum(isinstance(each, Binding) for each in declarations(Names("standing"), QUEUES))
    assert found.sentence == f"1 of {all_} do not exist: {source} to {target} by 'mail.#'"
    await declared(own)
    await becomes(own, "bindings", FindingState.OK)


async def leave_one_behind(managed: ManagedNode, own: SiteOnBroker) -> tuple[RabbitBroker, str, Finding]:
    """Let a delayed event meet a full queue. Return a broker, the path of the policy that makes the queue full, and the
    finding."""
    broker = RabbitBroker.from_url(own.url, own.namespace)
    await broker.declare(QUEUES)
    policy, limit = f"/api/policies/%2F/{own.namespace}", {"pattern": f"^{own.namespace}[.]q[.]mail"}
    publisher = broker.publisher()
    await publisher.publish(an_event("mail.first"), soon())
    await eventually(lambda: ready(broker), lambda ready: ready["mail"] == 1)  # the ladder knows the queue
    managed.request("PUT", policy, {**limit, "definition": {"max-length": 0}})
    await publisher.publish(an_event("mail.second"), soon())
    (found,) = await becomes(own, "delayed", FindingState.WRONG)
    return broker, policy, found


async def test_the_management_ends_between_two_counts(managed: ManagedNode, own: SiteOnBroker) -> None:
    """Delayed events are counted twice. If the second count fails, their line is unknown, and all others stay."""
    broker, policy, _ = await leave_one_behind(managed, own)

    async with answering(managed.port, FIRST_LOOK) as port:
        through = elsewhere(own, own.url, management_url=f"http://guest:guest@127.0.0.1:{port}")
        examination = await inspect(through)

    managed.request("DELETE", policy)
    await broker.close()
    (delayed,) = about(examination, "delayed")
    assert delayed.state is FindingState.UNKNOWN
    assert delayed.sentence.startswith("1 event may be on the way, or stay; a second count failed: the management at ")
    assert [each.state for each in about(examination, "bindings")] == [FindingState.OK]
    assert about(examination, "clock")


FIRST_LOOK = 5
"""The requests of an examination to the management before it counts again: each list is one."""


@asynccontextmanager
async def answering(port: int, connections: int) -> AsyncIterator[int]:
    """Pass as many connections on to a port as given, and close all later ones. Yield the port to connect to."""
    left = count()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            if next(left) < connections:
                there, back = await asyncio.open_connection("127.0.0.1", port)
                with closing(back):
                    back.write(await reader.readuntil(b"\r\n\r\n"))
                    while data := await there.read(65536):
                        writer.write(data)
                    await writer.drain()

    async with await asyncio.start_server(pass_on, "127.0.0.1") as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_policy_with_several_keys(managed: ManagedNode, own: SiteOnBroker) -> None:
    """It has one finding, and one command that raises all its limits, removes its other harmful keys and keeps the
    rest."""
    definition = {"max-length": 10, "max-length-bytes": 1000, "message-ttl": 60_000, "queue-leader-locator": "balanced"}
    policy = f"/api/policies/%2F/{own.namespace}"
    managed.request("PUT", policy, {"pattern": rf"^{own.namespace}\.q\.", "definition": definition, "priority": 3})

    found = await the_wrong_one(own, "policies")
    follow(managed.node, found)

    raised = managed.request("GET", policy)
    (well,) = await becomes(own, "policies", FindingState.OK)
    managed.request("DELETE", policy)
    assert [key in found.sentence for key in definition] == [True, True, True, False]
    assert raised["definition"] == {
        "max-length": 10**9,
        "max-length-bytes": 10**15,
        "queue-leader-locator": "balanced",
    }
    assert (raised["priority"], well.sentence) == (3, "none changes how a queue keeps events")


async def test_policies(managed: ManagedNode, standing: SiteOnBroker) -> None:
    """A policy that bounds a queue and an operator policy that trims the ledger are reported, with the commands that
    clear them."""
    for kind, name, pattern, definition in (
        ("policies", "tight", r"^standing\.q\.", {"max-length": 10}),
        ("operator-policies", "trim", r"^standing\.dead$", {"max-length-bytes": 1000000}),
    ):
        managed.request("PUT", f"/api/{kind}/%2F/{name}", {"pattern": pattern, "definition": definition})

    found = await eventually(lambda: findings_about(standing, "policies"), lambda found: len(found) == 2)

    assert [finding.sentence.partition(": ")[0] for finding in found] == [
        "operator policy 'trim' on standing.dead",
        "policy 'tight' on standing.q.default, standing.q.default.high, standing.q.default.low and 3 more",
    ]
    for finding in found:
        follow(managed.node, finding)
    assert managed.request("GET", "/api/operator-policies") == []
    (raised,) = managed.request("GET", "/api/policies")
    managed.request("DELETE", "/api/policies/%2F/tight")
    assert raised["definition"] == {"max-length": 1_000_000_000}
    assert (await becomes(standing, "policies", FindingState.OK))[0].sentence == "none changes how a queue keeps events"


async def test_delayed_events_that_a_full_queue_left_behind(managed: ManagedNode, own: SiteOnBroker) -> None:
    """RabbitMQ before 4.0 keeps delayed events whose queue was full when its limit was cleared. They are reported, and
    the next step brings them into their queue."""
    broker, policy, found = await leave_one_behind(managed, own)
    assert found.sentence.startswith("the time of 1 delayed event has come, and no queue takes them: ")
    managed.request("DELETE", policy)

    try:
        follow(managed.node, found)
        await eventually(lambda: ready(broker), lambda ready: ready["mail"] == 2)
        await becomes(own, "delayed", FindingState.OK)
    finally:
        managed.node.ctl("clear_policy", f"{own.namespace}-unlimited")
        await broker.close()


def soon() -> datetime:
    """Return a time one second from now."""
    return datetime.now(UTC) + timedelta(seconds=1)


async def ready(broker: RabbitBroker) -> dict[str, int]:
    """Return the number of events of each queue."""
    return {name: queue.ready for name, queue in (await broker.consumer().backlog()).items()}


async def test_an_alarm(node: RabbitNode, standing: SiteOnBroker) -> None:
    """A broker that has blocked publishers is reported as out of memory or disk space; the other subjects are
    judged."""
    node.raise_memory_alarm()
    try:
        examination = await inspect(standing)
    finally:
        node.clear_memory_alarm()

    (found,) = about(examination, "alarms")
    assert (found.state, found.next_step) == (
        FindingState.WRONG,
        "on its host: rabbitmq-diagnostics alarms; free what it names",
    )
    assert "has blocked all publishers" in found.sentence
    assert [finding.state for finding in about(examination, "topology")] == [FindingState.OK]


async def test_something_in_the_place_of_last_resort(own: SiteOnBroker) -> None:
    """A message in `unrouted` is a fault."""
    await hurt(own, lambda channel: channel.basic_publish(b"?", routing_key=f"{own.namespace}.unrouted"))

    found = await the_wrong_one(own, "unrouted")

    assert found.sentence == f"1 message in {own.namespace}.unrouted did not reach the ledger"


async def test_nobody_takes_events(own: SiteOnBroker) -> None:
    """Each queue without a consumer is reported with its number of events; so are the waiting events."""
    await hurt(own, lambda channel: channel.basic_publish(b"?", routing_key=f"{own.namespace}.q.mail"))

    examination = await inspect(own)

    assert [finding.sentence for finding in about(examination, "consumers")] == [
        "queue mail has no consumer and holds 1 event",
        "queue default has no consumer and holds 0 events",
    ]
    assert [finding.sentence for finding in about(examination, "waiting")] == ["ready: mail 1; 0 wait for their time"]


async def test_what_a_user_may_not(managed: ManagedNode, standing: SiteOnBroker) -> None:
    """Missing permissions to write or read are reported, and the command gives exactly the needed ones."""
    url = managed.add_user("narrow", "^$", r"^standing\.", r"^standing\.d")

    found = await the_wrong_one(elsewhere(standing, url, declares=False), "permissions")

    assert found.sentence == "user 'narrow' may not read standing.q.mail, standing.q.default"
    follow(managed.node, found)
    (mended,) = await becomes(elsewhere(standing, url, declares=False), "permissions", FindingState.OK)
    assert mended.sentence == "user 'narrow' may write, read"


async def test_a_user_who_may_not_configure(managed: ManagedNode, standing: SiteOnBroker) -> None:
    """A user who may not configure needs `declare = false`; with this setting, it is no fault."""
    url = managed.add_user("plain", "", ".*", ".*")

    found = await the_wrong_one(elsewhere(standing, url), "permissions")

    assert found.sentence.startswith("user 'plain' may not configure standing.unrouted, standing.dlx")
    assert "declare = false" in (found.next_step or "")
    assert [each.state for each in about(await inspect(elsewhere(standing, url, declares=False)), "permissions")] == [
        FindingState.OK
    ]


async def test_without_the_management(standing: SiteOnBroker) -> None:
    """Without the management API, the findings over AMQP remain; the others are unknown, each with a command that
    answers it."""
    nowhere = f"http://127.0.0.1:{free_port()}"

    examination = await inspect(elsewhere(standing, standing.url, management_url=nowhere))

    unknown = {each.subject: each.next_step for each in examination.findings if each.state is FindingState.UNKNOWN}
    assert list(unknown) == ["management", "bindings", "policies", "clock"]
    assert "rabbitmq-plugins enable rabbitmq_management" in (unknown["management"] or "")
    assert (unknown["policies"] or "").endswith("rabbitmqctl list_policies -p /")
    assert [each.state for each in about(examination, "topology")] == [FindingState.OK]


async def test_a_user_whom_the_management_does_not_answer(managed: ManagedNode, standing: SiteOnBroker) -> None:
    """A user without the tag `management` is reported, with the command that gives the tag."""
    url = managed.add_user("untagged", ".*", ".*", ".*")
    asked = elsewhere(standing, url, management_url=f"http://127.0.0.1:{managed.port}")

    (found,) = about(await inspect(asked), "management")

    assert found.state is FindingState.UNKNOWN
    follow(managed.node, found)
    assert about(await inspect(asked), "management") == []


UNREACHED = [
    ("amqp://guest:sesame@{host}/", "refuses the login", "rabbitmqctl authenticate_user guest"),
    ("amqp://guest:guest@{host}/nope", "vhost nope not found", "rabbitmqctl add_vhost nope"),
    ("amqp://stranger:sesame@{host}/", "access to vhost '/' refused", "rabbitmqctl set_permissions -p / stranger"),
    ("amqp://guest:sesame@127.0.0.1:{free}/", "nothing listens there", "systemctl start rabbitmq-server"),
    ("amqp://guest:sesame@no.such.host.invalid/", "there is no such host", "correct the host"),
    ("amqps://guest:sesame@{host}/", "TLS: what listens there does not speak TLS", "amqp:// without"),
]


@pytest.mark.parametrize(("url", "said", "step"), UNREACHED)
async def test_not_reached(managed: ManagedNode, url: str, said: str, step: str) -> None:
    """Each reason for a failed connection has its own sentence and next step, and none shows the password."""
    managed.request("PUT", "/api/users/stranger", {"password": "sesame", "tags": ""})

    examination = await inspect(
        SiteOnBroker(url.format(host=f"127.0.0.1:{managed.node.port}", free=free_port()), "b", QUEUES)
    )

    (found,) = examination.findings
    assert not examination.reached
    assert said in found.sentence
    assert step in (found.next_step or "")
    assert "sesame" not in repr(found)


async def test_one_host_of_several_is_away(node: RabbitNode, standing: SiteOnBroker) -> None:
    """One unreachable host of several is reported; another one answers for the site."""
    url = f"amqp://guest:guest@127.0.0.1:{free_port()},127.0.0.1:{node.port}/"

    examination = await inspect(elsewhere(standing, url))

    assert examination.reached
    assert [finding.state for finding in about(examination, "broker")] == [FindingState.WRONG, FindingState.OK]
    assert about(examination, "topology")


async def test_a_frozen_node(managed: ManagedNode, standing: SiteOnBroker) -> None:
    """A frozen node is given up within seconds."""
    managed.node.pause()
    began = time.monotonic()
    try:
        examination = await inspect(standing)
    finally:
        managed.node.resume()

    assert time.monotonic() - began < 40
    assert not examination.reached
    assert "no answer within 5 s: it hangs" in examination.findings[0].sentence
