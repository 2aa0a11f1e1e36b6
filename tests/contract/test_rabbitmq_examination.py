"""What the doctor says of RabbitMQ: a sentence for each thing that is wrong, and a next step that mends it."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator

import pytest
from aiormq.abc import AbstractChannel

from bridge.brokers.examining import Place, examine
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.findings import State
from bridge.queues import Queue
from tests.contract.acts import consuming, eventually
from tests.contract.examining import (
    about,
    becomes,
    declared,
    delete,
    elsewhere,
    findings_about,
    follow,
    hurt,
    the_wrong_one,
)
from tests.managed_node import ManagedNode
from tests.ports import free_port
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq

QUEUES = (Queue("mail", ("mail.#",)), Queue("default"))


@pytest.fixture(scope="module")
def node(managed: ManagedNode) -> RabbitNode:
    """The same, without its management."""
    return managed.node


@pytest.fixture(scope="module")
def standing(managed: ManagedNode) -> Place:
    """A site that is all well, but for its consumers. Whoever hurts it mends it."""
    place = Place(managed.node.url, "standing", QUEUES, management_url=managed.management_url)
    asyncio.run(declared(place))
    return place


@pytest.fixture
async def own(managed: ManagedNode) -> AsyncIterator[Place]:
    """A site of the test's own."""
    place = Place(managed.node.url, f"t{uuid.uuid4().hex[:8]}", QUEUES, management_url=managed.management_url)
    await declared(place)
    yield place
    await RabbitBroker.from_url(place.url, place.namespace).remove(QUEUES)


async def test_all_is_well(own: Place) -> None:
    """With its queues declared and consumers live, every line is ok, and each subject has one."""
    broker = RabbitBroker.from_url(own.url, own.namespace)
    await consuming(broker, "mail", "default")

    examination = await examine(own)

    await broker.close()
    assert examination.reached
    assert [finding for finding in examination.findings if finding.state is not State.OK] == []
    assert [finding.subject for finding in examination.findings] == [
        *("broker", "permissions", "topology", "alarms", "unrouted", "consumers", "waiting"),
        *("bindings", "policies", "timeout", "clock"),
    ]


async def test_it_makes_nothing(managed: ManagedNode) -> None:
    """Where nothing is there, it says so, and nothing is there afterwards."""
    place = Place(managed.node.url, "absent", QUEUES, management_url=managed.management_url)

    found = await the_wrong_one(place, "topology")

    assert found.sentence.startswith("52 of 52 exchanges and queues are not there: exchange 'absent.unrouted'")
    assert "start bridge-worker" in (found.next_step or "")
    assert "absent" not in str(managed.request("GET", "/api/definitions"))


async def test_a_queue_that_differs(node: RabbitNode, own: Place) -> None:
    """In RabbitMQ's words, with the command that makes room for the right one."""
    name = f"{own.namespace}.q.mail"
    await hurt(own, lambda channel: channel.queue_delete(name))
    await hurt(own, lambda channel: channel.queue_declare(name, durable=True, arguments={"x-queue-type": "classic"}))

    found = await the_wrong_one(own, "topology")

    assert f"queue '{name}' differs from what is declared" in found.sentence
    assert "inequivalent arg" in found.sentence
    follow(node, found)
    await declared(own)
    await becomes(own, "topology", State.OK)


async def test_an_exchange_that_differs(managed: ManagedNode, own: Place) -> None:
    """With the request that deletes it, for rabbitmqctl cannot."""
    name = f"{own.namespace}.rest"
    await hurt(own, lambda channel: channel.exchange_delete(name))
    await hurt(own, lambda channel: channel.exchange_declare(exchange=name, exchange_type="direct", durable=True))

    found = await the_wrong_one(own, "topology")

    assert f"exchange '{name}' differs from what is declared" in found.sentence
    delete(managed, found)
    await declared(own)
    await becomes(own, "topology", State.OK)


async def test_a_binding_that_is_left_over(managed: ManagedNode, own: Place) -> None:
    """One by a pattern of former settings takes events for ever; with the request that removes it."""
    name = f"{own.namespace}.q.mail"
    await hurt(own, lambda channel: channel.queue_bind(name, f"{own.namespace}.events", "old.*.#"))

    found = await the_wrong_one(own, "bindings")

    assert found.sentence == f"left over: {own.namespace}.events to {name} by 'old.*.#'"
    delete(managed, found)
    await becomes(own, "bindings", State.OK)


async def test_a_binding_that_is_somebody_elses(own: Place) -> None:
    """Whoever listens in with a queue of their own has left nothing over."""

    async def listen(channel: AbstractChannel) -> None:
        await channel.queue_declare("audit", auto_delete=True)
        await channel.queue_bind("audit", f"{own.namespace}.events", "#")

    await hurt(own, listen)

    assert [finding.state for finding in about(await examine(own), "bindings")] == [State.OK]
    await hurt(own, lambda channel: channel.queue_delete("audit"))


async def test_a_binding_that_is_not_there(own: Place) -> None:
    """Its events would go elsewhere; a worker that starts binds it again."""
    source, target = f"{own.namespace}.events", f"{own.namespace}.q.mail"
    await hurt(own, lambda channel: channel.queue_unbind(target, source, "mail.#"))

    found = await the_wrong_one(own, "bindings")

    assert found.sentence == f"1 of 49 are not there: {source} to {target} by 'mail.#'"
    await declared(own)
    await becomes(own, "bindings", State.OK)


async def test_policies(managed: ManagedNode, standing: Place) -> None:
    """One that bounds a queue, and an operator's that trims the ledger: each is named, with the command that clears it.
    The management hears of them within some 5 s."""
    for kind, name, pattern, definition in (
        ("policies", "tight", r"^standing\.q\.", {"max-length": 10}),
        ("operator-policies", "trim", r"^standing\.dead$", {"max-length-bytes": 1000000}),
    ):
        managed.request("PUT", f"/api/{kind}/%2F/{name}", {"pattern": pattern, "definition": definition})

    found = await eventually(lambda: findings_about(standing, "policies"), lambda found: len(found) == 2)

    assert [finding.sentence.partition(": ")[0] for finding in found] == [
        "operator policy 'trim' on standing.dead",
        "policy 'tight' on standing.q.default, standing.q.mail",
    ]
    for finding in found:
        follow(managed.node, finding)
    assert managed.request("GET", "/api/policies") == managed.request("GET", "/api/operator-policies") == []


async def test_an_alarm(node: RabbitNode, standing: Place) -> None:
    """A broker that takes no publishes is said to be out of memory or disk space; the rest is told all the same."""
    node.raise_memory_alarm()
    try:
        examination = await examine(standing)
    finally:
        node.clear_memory_alarm()

    (found,) = about(examination, "alarms")
    assert (found.state, found.next_step) == (
        State.WRONG,
        "on its host: rabbitmq-diagnostics alarms; free what it names",
    )
    assert "has blocked all publishers" in found.sentence
    assert [finding.state for finding in about(examination, "topology")] == [State.OK]


async def test_something_in_the_place_of_last_resort(own: Place) -> None:
    """What lies in `unrouted` is a fault."""
    await hurt(own, lambda channel: channel.basic_publish(b"?", routing_key=f"{own.namespace}.unrouted"))

    found = await the_wrong_one(own, "unrouted")

    assert found.sentence == f"1 message in {own.namespace}.unrouted: not even the ledger took what is there"


async def test_nobody_takes_events(own: Place) -> None:
    """Each queue without a consumer is named, with what it holds; so is what waits."""
    await hurt(own, lambda channel: channel.basic_publish(b"?", routing_key=f"{own.namespace}.q.mail"))

    examination = await examine(own)

    assert [finding.sentence for finding in about(examination, "consumers")] == [
        "nobody takes from queue mail, which holds 1 event",
        "nobody takes from queue default, which holds 0 events",
    ]
    assert [finding.sentence for finding in about(examination, "waiting")] == ["ready: mail 1; 0 wait for their time"]


async def test_what_a_user_may_not(managed: ManagedNode, standing: Place) -> None:
    """What a user may not write or read is named, and the command gives just what is needed."""
    url = managed.add_user("narrow", "^$", r"^standing\.", r"^standing\.d")

    found = await the_wrong_one(elsewhere(standing, url, declares=False), "permissions")

    assert found.sentence == "user 'narrow' may not write amq.default; may not read standing.q.mail, standing.q.default"
    follow(managed.node, found)
    (mended,) = await becomes(elsewhere(standing, url, declares=False), "permissions", State.OK)
    assert mended.sentence == "user 'narrow' may write, read"


async def test_a_user_who_may_not_configure(managed: ManagedNode, standing: Place) -> None:
    """Such a user needs `declare = false`, and is told so; then the lack of it is no fault."""
    url = managed.add_user("plain", "", ".*", ".*")

    found = await the_wrong_one(elsewhere(standing, url), "permissions")

    assert found.sentence.startswith("user 'plain' may not configure standing.unrouted, standing.dlx")
    assert "declare = false" in (found.next_step or "")
    assert [each.state for each in about(await examine(elsewhere(standing, url, declares=False)), "permissions")] == [
        State.OK
    ]


async def test_a_difference_that_only_the_management_tells(managed: ManagedNode, own: Place) -> None:
    """Who may not declare may not compare over AMQP; the management tells how a queue differs."""
    url = managed.add_user("onlooker", "", ".*", ".*")
    name = f"{own.namespace}.delay.03"
    await hurt(own, lambda channel: channel.queue_delete(name))
    await hurt(own, lambda channel: channel.queue_declare(name, durable=True, arguments={"x-message-ttl": 1}))

    examination = await examine(elsewhere(own, url, declares=False))

    said = [finding.sentence for finding in about(examination, "topology") if finding.state is State.WRONG]
    assert f"queue '{name}' differs from what is declared: x-message-ttl is 1, expected 8000" in said


async def test_without_the_management(standing: Place) -> None:
    """What AMQP tells is told; the rest is unknown, each with the command that tells it."""
    nowhere = f"http://127.0.0.1:{free_port()}"

    examination = await examine(elsewhere(standing, standing.url, management_url=nowhere))

    unknown = {each.subject: each.next_step for each in examination.findings if each.state is State.UNKNOWN}
    assert list(unknown) == ["management", "bindings", "policies", "clock"]
    assert "rabbitmq-plugins enable rabbitmq_management" in (unknown["management"] or "")
    assert (unknown["policies"] or "").endswith("rabbitmqctl list_policies -p /")
    assert [each.state for each in about(examination, "topology")] == [State.OK]


async def test_a_user_whom_the_management_does_not_answer(managed: ManagedNode, standing: Place) -> None:
    """It takes a tag to ask it, and the command gives the tag."""
    url = managed.add_user("untagged", ".*", ".*", ".*")
    asked = elsewhere(standing, url, management_url=f"http://127.0.0.1:{managed.port}")

    (found,) = about(await examine(asked), "management")

    assert (found.state, found.next_step) == (State.UNKNOWN, "rabbitmqctl set_user_tags untagged management")
    follow(managed.node, found)
    assert about(await examine(asked), "management") == []


UNREACHED = [
    ("amqp://guest:sesame@{host}/", "refuses the login", "rabbitmqctl authenticate_user guest"),
    ("amqp://guest:guest@{host}/nope", "vhost nope not found", "rabbitmqctl add_vhost nope"),
    ("amqp://stranger:sesame@{host}/", "access to vhost '/' refused", "rabbitmqctl set_permissions -p / stranger"),
    ("amqp://guest:sesame@127.0.0.1:{free}/", "nothing listens there", "systemctl start rabbitmq-server"),
    ("amqp://guest:sesame@no.such.host.invalid/", "there is no such host", "correct the host"),
    ("amqps://guest:sesame@{host}/", "TLS does not come about", "amqp:// without"),
]


@pytest.mark.parametrize(("url", "said", "step"), UNREACHED)
async def test_not_reached(managed: ManagedNode, url: str, said: str, step: str) -> None:
    """Each reason has a sentence and a next step of its own, and none shows the password."""
    managed.request("PUT", "/api/users/stranger", {"password": "sesame", "tags": ""})

    examination = await examine(Place(url.format(host=f"127.0.0.1:{managed.node.port}", free=free_port()), "b", QUEUES))

    (found,) = examination.findings
    assert not examination.reached
    assert said in found.sentence
    assert step in (found.next_step or "")
    assert "sesame" not in repr(found)


async def test_one_host_of_several_is_away(node: RabbitNode, standing: Place) -> None:
    """It is named; the others answer for the site."""
    url = f"amqp://guest:guest@127.0.0.1:{free_port()},127.0.0.1:{node.port}/"

    examination = await examine(elsewhere(standing, url))

    assert examination.reached
    assert [finding.state for finding in about(examination, "broker")] == [State.WRONG, State.OK]
    assert about(examination, "topology")


async def test_a_frozen_node(managed: ManagedNode, standing: Place) -> None:
    """It is given up within seconds."""
    managed.node.pause()
    began = time.monotonic()
    try:
        examination = await examine(standing)
    finally:
        managed.node.resume()

    assert time.monotonic() - began < 10
    assert not examination.reached
    assert "no answer within 5 s: it hangs" in examination.findings[0].sentence
