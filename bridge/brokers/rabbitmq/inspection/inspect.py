"""Examines RabbitMQ and a site's objects there, over AMQP and then over the management API. Changes nothing.
`amqp_findings` and `management_findings` judge the answers.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from aiormq.exceptions import ChannelAccessRefused

from bridge.brokers.contract.findings import Finding, counted, unknown, wrong
from bridge.brokers.contract.inspection import Examination, SiteOnBroker
from bridge.brokers.rabbitmq.connection.address import Address, address
from bridge.brokers.rabbitmq.connection.client_internals import engine_connection
from bridge.brokers.rabbitmq.connection.connecting import BROKEN, cancelled_by_us_alone, connect, disconnect
from bridge.brokers.rabbitmq.inspection import amqp_findings, management_findings, rights_findings
from bridge.brokers.rabbitmq.inspection.management_api import Management, NoAnswer
from bridge.brokers.rabbitmq.inspection.management_findings import Rows
from bridge.brokers.rabbitmq.inspection.policies import EXPIRES, Policies
from bridge.brokers.rabbitmq.inspection.probe import Probe, Refused
from bridge.brokers.rabbitmq.inspection.remedies import Remedies
from bridge.brokers.rabbitmq.inspection.rights_findings import Rights
from bridge.brokers.rabbitmq.topology.declarations import AmqpExchange, AmqpQueue, Binding, declarations, objects
from bridge.brokers.rabbitmq.topology.delay_ladder import LEVELS
from bridge.brokers.rabbitmq.topology.names import LANES, Names
from bridge.brokers.rabbitmq.topology.presence import QueueCount, of_lanes
from bridge.errors import BrokerRefused
from bridge.handling import Priority

ASKED_WITHIN = 15.0
"""Seconds for all questions over AMQP, which usually take 0.2 s."""

COUNTED_EVERY = 6.0
"""Seconds after which RabbitMQ has counted the messages of all queues again: it counts every 5 s."""

_PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True)
class ObjectAnswer:
    """The answers over AMQP about one object: whether it exists, the counts of a queue, the difference from its
    declaration, and whether this user may declare it."""

    expected: AmqpExchange | AmqpQueue
    exists: bool
    count: QueueCount | None
    difference: str | None
    may_configure: bool


@dataclass(frozen=True, slots=True)
class AmqpAnswers:
    """All answers over AMQP: about each object, the names that this user may not read or write, an alarm, and rights
    beyond the site (None: not asked because of the alarm)."""

    objects: Sequence[ObjectAnswer]
    unreadable: Sequence[str]
    unwritable: Sequence[str]
    blocked: bool
    rights: Rights | None

    @property
    def missing(self) -> list[AmqpExchange | AmqpQueue]:
        """The objects that do not exist."""
        return [each.expected for each in self.objects if not each.exists]

    @property
    def undeclarable(self) -> list[AmqpExchange | AmqpQueue]:
        """The objects that this user may not declare, and so not compare."""
        return [each.expected for each in self.objects if not each.may_configure]

    def count(self, queue: str) -> QueueCount | None:
        """Return the counts of a queue; None if it does not exist."""
        return next(
            (each.count for each in self.objects if each.count is not None and each.expected.name == queue), None
        )


async def inspect_rabbitmq(site: SiteOnBroker) -> Examination:
    """Examine RabbitMQ and the site's objects there. Raise `SettingsError` for an invalid URL."""
    where = address(site.url, site.tls)
    hosts = [replace(where, urls=(url,), hosts=f"{url.host}:{url.port or _PORTS[url.scheme]}") for url in where.urls]
    greeted = await asyncio.gather(*(_greet(host, site.namespace) for host in hosts))
    findings = [finding for finding, _ in greeted]
    reached = [host for host, (_, answered) in zip(hosts, greeted, strict=True) if answered]
    if not reached:
        return Examination(False, findings)
    management = Management.of(reached[0], site.management_url)
    remedies = Remedies(Names(site.namespace), where.vhost, where.urls[0].user or "guest", site.declares, management)
    try:
        with cancelled_by_us_alone():
            async with asyncio.timeout(ASKED_WITHIN):
                answers = await _ask(reached[0], remedies, site)
    except (*BROKEN, BrokerRefused) as error:
        why = str(error) or f"no answer within {ASKED_WITHIN:g} s"
        step = "on its host: rabbitmq-diagnostics check_running"
        return Examination(False, [*findings, wrong("broker", f"it stopped answering: {why}", step)])
    return Examination(
        True,
        [
            *(*findings, *_judge_by_amqp(remedies, site, answers)),
            *await _judge_by_management(remedies, site, answers),
        ],
    )


async def _greet(host: Address, namespace: str) -> tuple[Finding, bool]:
    """Connect to one host. Return a finding about it, and True if it answered."""
    try:
        connection = await connect(host)
    except (*BROKEN, BrokerRefused) as error:
        return amqp_findings.unreachable(host, host.urls[0].user or "guest", error), False
    properties = engine_connection(connection).server_properties
    await disconnect(connection)
    return amqp_findings.broker_version(f"{host}, namespace '{namespace}'", properties), True


async def _ask(host: Address, remedies: Remedies, site: SiteOnBroker) -> AmqpAnswers:
    queues = [remedies.names.queue(queue.name) for queue in site.queues]
    imported = None if site.declares else site.history  # else the first worker that writes it declares it
    mailboxes = () if site.declares else site.mailboxes  # else they are made at their first use
    expected = objects(remedies.names, site.queues, imported, mailboxes)
    async with _connected(host) as probe:
        answers = await asyncio.gather(*(_look_at(probe, each) for each in expected))
        may_read = await asyncio.gather(*map(probe.may_read, queues))
    unreadable = [queue for queue, may in zip(queues, may_read, strict=True) if not may]
    async with _connected(host) as probe:  # a second connection: an alarm blocks a connection that publishes
        unwritable, blocked = await _publish(probe, remedies.names)
        rights = None if blocked else await rights_findings.ask(probe, remedies)
        return AmqpAnswers(answers, unreadable, unwritable, blocked, rights)


@asynccontextmanager
async def _connected(host: Address) -> AsyncIterator[Probe]:
    connection = await connect(host)
    try:
        yield Probe(connection)
    finally:
        await disconnect(connection)


async def _look_at(probe: Probe, expected: AmqpExchange | AmqpQueue) -> ObjectAnswer:
    """Ask whether an object exists, how it is declared, and whether this user may declare it."""
    try:
        count = await probe.queue(expected.name) if isinstance(expected, AmqpQueue) else None
        exists = count is not None if isinstance(expected, AmqpQueue) else await probe.has_exchange(expected.name)
    except ChannelAccessRefused:  # as in `Presence.missing`
        return ObjectAnswer(expected, True, None, None, False)
    if not exists:
        return ObjectAnswer(expected, False, None, None, await probe.may_configure(expected.name))
    try:
        return ObjectAnswer(expected, True, count, await probe.difference(expected), True)
    except Refused:
        return ObjectAnswer(expected, True, count, None, False)


async def _publish(probe: Probe, names: Names) -> tuple[list[str], bool]:
    """Return the exchanges to which this user may not publish, and True if RabbitMQ has blocked the connection. Each
    question writes a line to RabbitMQ's log, so of the delay ladder only the first and the last level are asked."""
    levels = names.delay(0), names.delay(LEVELS - 1)
    others = [names.events_of(Priority.HIGH), names.events_of(Priority.LOW), names.dead_letters, names.direct, *levels]
    unwritable = [] if await probe.may_write(names.events) else [names.events]
    if await probe.is_blocked():
        return unwritable, True
    return unwritable + [each for each in others if not await probe.may_write(each)], False


def _judge_by_amqp(remedies: Remedies, site: SiteOnBroker, answers: AmqpAnswers) -> Sequence[Finding]:
    """Return the findings from the answers over AMQP."""
    names = remedies.names
    refused = {
        "configure": [each.name for each in answers.undeclarable],
        "write": answers.unwritable,
        "read": answers.unreadable,
    }
    lanes = {queue.name: [answers.count(names.queue(queue.name, lane)) for lane in LANES] for queue in site.queues}
    counts = {queue: of_lanes(found) for queue, counts in lanes.items() if (found := [c for c in counts if c])}
    ladder = [count.ready for count in map(answers.count, map(names.delay, range(LEVELS))) if count is not None]
    differing = [each for each in answers.objects if each.difference is not None]
    last_resort = answers.count(names.unrouted)
    return [
        amqp_findings.permissions(remedies, refused, blocked=answers.blocked),
        *(rights_findings.judge(remedies, answers.rights) if answers.rights is not None else []),
        amqp_findings.missing_objects(remedies, answers.missing, len(answers.objects)),
        *(
            amqp_findings.object_that_differs(remedies, each.expected, each.difference or "", each.count)
            for each in differing
        ),
        amqp_findings.alarms(blocked=answers.blocked),
        *([amqp_findings.unrouted_messages(remedies, last_resort)] if last_resort is not None else []),
        *amqp_findings.consumers(counts, site.paused),
        amqp_findings.waiting_events(counts, sum(ladder)),
    ]


async def _judge_by_management(remedies: Remedies, site: SiteOnBroker, answers: AmqpAnswers) -> Sequence[Finding]:
    """Return the findings that need the management API; if it does not answer, findings that say how to get them."""
    try:
        queues = await remedies.management.all("queues", *management_findings.COLUMNS)
        bindings = await remedies.management.all("bindings")
        exchanges = await remedies.management.all("exchanges", "name", "arguments")
        policies = await _policies(remedies.management)
    except NoAnswer as error:
        missing = amqp_findings.without_management(remedies, error, compared=not answers.undeclarable)
        return [*missing, *amqp_findings.consumer_timeouts(site.queues, {})]
    expected = list(declarations(remedies.names, site.queues))
    declared = [each for each in expected if isinstance(each, AmqpQueue)]
    undeclarable_queues = [each for each in answers.undeclarable if isinstance(each, AmqpQueue)]
    undeclarable_exchanges = [each for each in answers.undeclarable if isinstance(each, AmqpExchange)]
    bindings_declared = [each for each in expected if isinstance(each, Binding)]
    return [
        *management_findings.objects_that_differ(remedies, undeclarable_queues, queues.content),
        *management_findings.objects_that_differ(remedies, undeclarable_exchanges, exchanges.content),
        *management_findings.bindings(remedies, bindings_declared, answers.missing, bindings.content),
        *management_findings.policies(remedies, declared, policies),
        *await _delayed(remedies, queues.content, policies.above_all),
        *management_findings.queues_not_in_settings(remedies, declared, queues.content, bindings.content),
        *amqp_findings.consumer_timeouts(
            site.queues, management_findings.consumer_timeouts(remedies, declared, policies)
        ),
        management_findings.clock(bindings.at, datetime.now(UTC)),
    ]


async def _delayed(remedies: Remedies, queues: Rows, priority: int) -> Sequence[Finding]:
    """Judge the delayed events that their queues do not take. An event may be on its way when RabbitMQ counts, so the
    lower of two counts is believed."""
    untaken = management_findings.past_their_time(remedies, queues)
    if untaken:
        await asyncio.sleep(COUNTED_EVERY)
        try:
            again = await remedies.management.all("queues", *management_findings.COLUMNS)
        except NoAnswer as error:
            sentence = f"{counted(untaken, 'event')} may be on the way, or stay; a second count failed: {error}"
            return [unknown("delayed", sentence, "run bridge-doctor again")]
        untaken = min(untaken, management_findings.past_their_time(remedies, again.content))
    return management_findings.delayed(remedies, untaken, priority)


async def check_policies(site: SiteOnBroker) -> Sequence[Finding]:
    """Return a finding for each policy that changes how the site's queues keep events; none if the management API does
    not answer, or if it is not known to be that of this broker. Raise `BrokerRefused` if a policy deletes queues, which
    events wait in."""
    where = address(site.url, site.tls)
    if site.management_url is None and any(url.port not in (None, _PORTS[url.scheme]) for url in where.urls):
        return ()  # several nodes on one host: the one with the usual port may be another one
    management = Management.of(where, site.management_url)
    names = Names(site.namespace)
    remedies = Remedies(names, where.vhost, where.urls[0].user or "guest", site.declares, management)
    queues = [each for each in declarations(names, site.queues) if isinstance(each, AmqpQueue)]
    try:
        policies = await _policies(management)
    except NoAnswer:
        return ()  # the doctor says so
    findings = [each for each in management_findings.policies(remedies, queues, policies) if each.next_step is not None]
    if any(harm.key == EXPIRES for harm in policies.harms(queues)):
        raise BrokerRefused("; ".join(f"{each.sentence}; next step: {each.next_step}" for each in findings))
    return findings


async def _policies(management: Management) -> Policies:
    policies, operator_policies = await asyncio.gather(management.all("policies"), management.all("operator-policies"))
    return Policies(policies.content, operator_policies.content)
