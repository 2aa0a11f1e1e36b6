"""RabbitMQ only: programs in PHP and Node publish events with nothing but an AMQP client, as the page shows."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.opening import open_broker
from bridge.queues import Queue
from tests.contract.acts import consuming, now, take
from tests.contract.rabbitmq_site import RabbitSite
from tests.limits import PATIENCE
from tests.managed_node import ManagedNode
from tests.unit.docs.markdown import ROOT, blocks

pytestmark = pytest.mark.rabbitmq

EXAMPLES = ROOT / "examples" / "other_languages"
PAGE = ROOT / "docs" / "other-languages.md"
PROGRAMS = {"php": ("php", "publish.php"), "node": ("node", "publish.js")}
QUEUES = (Queue("orders", ("order.#",)),)

both = pytest.mark.parametrize("language", PROGRAMS)


async def publish(
    language: str, site: RabbitSite, name: str, json: str, *more: str, url: str = ""
) -> tuple[int, str, str]:
    """Run the example. Return its exit code and what it printed."""
    interpreter, file = PROGRAMS[language]
    if language == "node" and not (EXAMPLES / "node_modules").exists():
        pytest.skip("npm has not installed amqplib: scripts/install-amqp-clients.sh")
    process = await asyncio.create_subprocess_exec(
        *(interpreter, str(EXAMPLES / file), url or site.url, name, json, *more),
        env=os.environ | {"BRIDGE_NAMESPACE": site.namespace},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode().strip(), err.decode()


@pytest.mark.parametrize(("language", "file"), [("php", "publish.php"), ("js", "publish.js")])
def test_the_page_shows_the_examples(language: str, file: str) -> None:
    """Line by line."""
    (block,) = blocks(PAGE, language)
    assert block.text == (EXAMPLES / file).read_text("utf-8")


@both
async def test_an_event_is_published(language: str, rabbit_site: RabbitSite, broker_of_orders: Broker) -> None:
    """A worker gets it with the id that the program printed, its source, type, time and data."""
    data = '{"id": 17, "name": "Grüße"}'

    code, event_id, err = await publish(language, rabbit_site, "order.paid", data)

    assert (code, err) == (0, "")
    event = (await take(await consuming(broker_of_orders, "orders"))).envelope.event
    assert (event.id, event.name, event.source) == (event_id, "order.paid", f"shop-{language}")
    assert (event.content_type, event.data.decode()) == ("application/json", data)
    assert abs(event.time - now()) < timedelta(minutes=1)


@both
async def test_an_event_comes_later(language: str, rabbit_site: RabbitSite, broker_of_orders: Broker) -> None:
    """Not before its delay, which has a bit on two levels of the ladder."""
    consumer = await consuming(broker_of_orders, "orders")
    began = time.monotonic()

    code, event_id, err = await publish(language, rabbit_site, "order.late", "{}", "3")

    assert (code, err) == (0, "")
    event = (await take(consumer)).envelope.event
    assert (event.id, event.name) == (event_id, "order.late")
    assert time.monotonic() - began >= 3


@both
async def test_an_event_that_no_queue_takes(language: str, rabbit_site: RabbitSite, broker_of_orders: Broker) -> None:
    """The program learns it, and fails."""
    code, out, err = await publish(language, rabbit_site, "mail.sent", "{}")

    assert (code, out) == (1, "")
    assert "event mail.sent: no queue takes it" in err


@both
async def test_the_user_of_the_page_may_publish(language: str, managed: ManagedNode) -> None:
    """Now and later, with the permissions that the page shows, and read nothing."""
    vhost = managed.new_vhost()
    site = RabbitSite(managed.node.url + vhost, "bridge")
    (command,) = (block.text for block in blocks(PAGE, "sh"))
    configure, write, read = command.split("'")[1::2]
    url = managed.add_user("shop-php", configure, write, read, vhost=vhost)
    broker = open_broker(site.url, "bridge")
    try:
        await broker.declare(QUEUES)
        consumer = await consuming(broker, "orders")
        for seconds in ("0", "1"):
            code, event_id, err = await publish(language, site, "order.paid", "{}", seconds, url=url)
            assert (code, err) == (0, "")
            assert (await take(consumer)).envelope.event.id == event_id
    finally:
        await broker.close()


@pytest.fixture
async def broker_of_orders(rabbit_site: RabbitSite) -> AsyncIterator[Broker]:
    """A broker with one queue, which takes `order.#`."""
    broker = open_broker(rabbit_site.url, rabbit_site.namespace)
    await broker.declare(QUEUES)
    yield broker
    await broker.close()
