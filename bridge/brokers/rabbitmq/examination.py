"""Examines RabbitMQ and what a site has there: over AMQP as far as it tells, then over the management. It makes and
changes nothing. What the answers mean is said in `verdicts` and `managed`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import cast

from aio_pika.abc import UnderlayConnection

from bridge.brokers.examining import Place
from bridge.brokers.rabbitmq import managed, topology, verdicts
from bridge.brokers.rabbitmq.address import Address, address
from bridge.brokers.rabbitmq.connection import BROKEN, cancelled_by_us_alone, connect, disconnect
from bridge.brokers.rabbitmq.ladder import LEVELS
from bridge.brokers.rabbitmq.management import Management, NoAnswer
from bridge.brokers.rabbitmq.probing import Count, Probe, Refused
from bridge.brokers.rabbitmq.site import Site
from bridge.brokers.rabbitmq.topology import AmqpQueue, Binding, Exchange, Names
from bridge.brokers.rabbitmq.unreached import unreached
from bridge.errors import BrokerRefused
from bridge.findings import Examination, Finding, wrong

ASKED_WITHIN = 15.0
"""Seconds for all questions over AMQP; they take a fifth of one."""

_PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True)
class Seen:
    """What AMQP told of one object: whether it is there, what a queue says of itself, how it differs from what is
    declared, and whether this user may declare it."""

    expected: Exchange | AmqpQueue
    there: bool
    count: Count | None
    difference: str | None
    may_configure: bool


@dataclass(frozen=True, slots=True)
class Told:
    """What AMQP told: of each object, of the names that this user may not read or write, and of an alarm."""

    seen: Sequence[Seen]
    unreadable: Sequence[str]
    unwritable: Sequence[str]
    blocked: bool

    @property
    def missing(self) -> list[Exchange | AmqpQueue]:
        """What is not there."""
        return [each.expected for each in self.seen if not each.there]

    @property
    def undeclarable(self) -> list[Exchange | AmqpQueue]:
        """What this user may not declare, and so not compare."""
        return [each.expected for each in self.seen if not each.may_configure]

    def count(self, queue: str) -> Count | None:
        """What a queue says of itself; None where it is not there."""
        return next((each.count for each in self.seen if each.count is not None and each.expected.name == queue), None)


async def examine_rabbitmq(place: Place) -> Examination:
    """Say how RabbitMQ and what the site has there stand. Raise `SettingsError` for a URL that cannot be."""
    where = address(place.url)
    hosts = [replace(where, urls=(url,), hosts=f"{url.host}:{url.port or _PORTS[url.scheme]}") for url in where.urls]
    greeted = await asyncio.gather(*(_greet(host, place.namespace) for host in hosts))
    findings = [finding for finding, _ in greeted]
    reached = [host for host, (_, answered) in zip(hosts, greeted, strict=True) if answered]
    if not reached:
        return Examination(False, findings)
    management = Management.of(reached[0], place.management_url)
    site = Site(Names(place.namespace), where.vhost, where.urls[0].user or "guest", place.declares, management)
    try:
        with cancelled_by_us_alone():
            async with asyncio.timeout(ASKED_WITHIN):
                told = await _ask(reached[0], site, place)
    except (*BROKEN, BrokerRefused) as error:
        why = str(error) or f"no answer within {ASKED_WITHIN:g} s"
        step = "on its host: rabbitmq-diagnostics check_running"
        return Examination(False, [*findings, wrong("broker", f"it answered, and then did not: {why}", step)])
    return Examination(True, [*findings, *_judged(site, place, told), *await _managed(site, place, told)])


async def _greet(host: Address, namespace: str) -> tuple[Finding, bool]:
    """Connect to one host, and say what answered, and whether it did."""
    try:
        connection = await connect(host)
    except (*BROKEN, BrokerRefused) as error:
        return unreached(host, host.urls[0].user or "guest", error), False
    properties = cast(UnderlayConnection, connection.transport).connection.server_properties
    await disconnect(connection)
    return verdicts.version(f"{host}, namespace '{namespace}'", properties), True


async def _ask(host: Address, site: Site, place: Place) -> Told:
    queues = [site.names.ledger, *(site.names.queue(queue.name) for queue in place.queues)]
    async with _connected(host) as probe:
        seen = await asyncio.gather(*(_look_at(probe, each) for each in _objects(site, place)))
        may_read = await asyncio.gather(*map(probe.may_read, queues))
    unreadable = [queue for queue, may in zip(queues, may_read, strict=True) if not may]
    async with _connected(host) as probe:  # a connection of its own: one that publishes is blocked by an alarm
        return Told(seen, unreadable, *await _publish(probe, site.names))


@asynccontextmanager
async def _connected(host: Address) -> AsyncIterator[Probe]:
    connection = await connect(host)
    try:
        yield Probe(connection)
    finally:
        await disconnect(connection)


async def _look_at(probe: Probe, expected: Exchange | AmqpQueue) -> Seen:
    """Ask whether it is there, how it is declared, and whether it may be."""
    count = await probe.queue(expected.name) if isinstance(expected, AmqpQueue) else None
    if count is None and (isinstance(expected, AmqpQueue) or not await probe.has_exchange(expected.name)):
        return Seen(expected, False, None, None, await probe.may_configure(expected.name))
    try:
        return Seen(expected, True, count, await probe.difference(expected), True)
    except Refused:
        return Seen(expected, True, count, None, False)


async def _publish(probe: Probe, names: Names) -> tuple[list[str], bool]:
    """Ask where this user may not write, and whether RabbitMQ takes no publishes now. Each question is a line in
    RabbitMQ's log, so the two ends stand for the ladder."""
    first, *others = (names.events, names.dead_letters, names.delay(0), names.delay(LEVELS - 1), "")
    unwritable = [] if await probe.may_write(first) else [first]
    if await probe.is_blocked():
        return unwritable, True
    return unwritable + [each or "amq.default" for each in others if not await probe.may_write(each)], False


def _judged(site: Site, place: Place, told: Told) -> Sequence[Finding]:
    """Return the findings that AMQP alone gives."""
    names = site.names
    refused = {
        "configure": [each.name for each in told.undeclarable],
        "write": told.unwritable,
        "read": told.unreadable,
    }
    queues = {queue.name: told.count(names.queue(queue.name)) for queue in place.queues}
    counts = {queue: count for queue, count in queues.items() if count is not None}
    ladder = [count.ready for count in map(told.count, map(names.delay, range(LEVELS))) if count is not None]
    differing = [(each.expected, each.difference, each.count) for each in told.seen if each.difference is not None]
    last_resort = told.count(names.unrouted)
    return [
        verdicts.permissions(site, refused, blocked=told.blocked),
        verdicts.topology(site, told.missing, len(told.seen)),
        *(verdicts.differing(site, each, said, count) for each, said, count in differing),
        verdicts.alarms(blocked=told.blocked),
        *([verdicts.unrouted(site, last_resort)] if last_resort is not None else []),
        *verdicts.consumers(counts),
        verdicts.waiting(counts, sum(ladder)),
    ]


async def _managed(site: Site, place: Place, told: Told) -> Sequence[Finding]:
    """Return the findings that need the management; where it does not answer, how to come by them."""
    try:
        queues = await site.management.all("queues", *managed.COLUMNS)
        bindings = await site.management.all("bindings")
        exchanges = await site.management.all("exchanges", "name", "arguments")
    except NoAnswer as error:
        untold = verdicts.untold(site, error, compared=not told.undeclarable)
        return [*untold, *verdicts.timeouts(place.queues, {})]
    expected = list(topology.declarations(site.names, place.queues))
    declared = [each for each in expected if isinstance(each, AmqpQueue)]
    bound = [each for each in expected if isinstance(each, Binding)]
    return [
        *managed.differing(site, [each for each in told.undeclarable if isinstance(each, AmqpQueue)], queues.content),
        *managed.differing(site, [each for each in told.undeclarable if isinstance(each, Exchange)], exchanges.content),
        *managed.bindings(site, bound, told.missing, bindings.content),
        *managed.policies(site, declared, queues.content),
        *managed.forgotten(site, declared, queues.content, bindings.content),
        *verdicts.timeouts(place.queues, managed.timeouts(site, queues.content)),
        managed.clock(bindings.at, datetime.now(UTC)),
    ]


def _objects(site: Site, place: Place) -> list[Exchange | AmqpQueue]:
    return topology.objects(site.names, place.queues)
