"""Findings from the answers of RabbitMQ and its management API. No broker is asked here."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.brokers.contract.findings import FindingState
from bridge.brokers.rabbitmq.connection.address import address
from bridge.brokers.rabbitmq.inspection import amqp_findings, management_findings
from bridge.brokers.rabbitmq.inspection.management_api import Management
from bridge.brokers.rabbitmq.inspection.policies import Policies
from bridge.brokers.rabbitmq.inspection.remedies import Remedies
from bridge.brokers.rabbitmq.topology.declarations import AmqpExchange, AmqpQueue, objects
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.brokers.rabbitmq.topology.presence import QueueCount
from bridge.queues import Queue

QUEUES = (Queue("mail", ("mail.#",)), Queue("default"))
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def a_site(url: str = "amqp://web:sesame@broker/", *, declares: bool = True, management: str | None = None) -> Remedies:
    """Return a site at this URL."""
    where = address(url)
    return Remedies(Names("bridge"), where.vhost, where.urls[0].user or "", declares, Management.of(where, management))


@pytest.mark.parametrize(
    ("properties", "state"),
    [
        ({"product": "RabbitMQ", "version": "3.10.8"}, FindingState.OK),
        ({"product": "RabbitMQ", "version": "4.1.0-beta.1"}, FindingState.OK),
        ({"product": "RabbitMQ", "version": "3.9.29"}, FindingState.WRONG),
        ({"product": "LavinMQ", "version": "4.0"}, FindingState.WRONG),
        ({}, FindingState.WRONG),
    ],
)
def test_versions(properties: dict[str, object], state: FindingState) -> None:
    """RabbitMQ 3.10 or newer is in order."""
    assert amqp_findings.broker_version("broker:5672", properties).state is state


def test_a_shell_takes_the_commands_as_they_are() -> None:
    """The name of a virtual host or a user is quoted in a command."""
    site = a_site("amqp://a%20b:x@broker/shop%20one")

    found = amqp_findings.permissions(site, {"configure": [], "write": ["bridge.events"], "read": []}, blocked=False)

    assert found.next_step == (
        "in place of all that this user has here: "
        r"rabbitmqctl set_permissions -p 'shop one' 'a b' '^bridge\.' '^bridge\.' '^bridge\.'"
    )


def test_many_names_are_not_all_listed() -> None:
    """Three names are listed, and the number of the others."""
    found = amqp_findings.permissions(
        a_site(), {"configure": [], "write": list("abcdef"), "read": ["x"]}, blocked=False
    )

    assert found.sentence == "user 'web' may not write a, b, c and 3 more; may not read x"


def test_what_an_alarm_keeps_from_being_asked() -> None:
    """During an alarm, the finding does not claim that the user may write."""
    found = amqp_findings.permissions(a_site(), {"configure": [], "write": [], "read": []}, blocked=True)

    assert found.sentence == "user 'web' may configure, read"


@pytest.mark.parametrize(
    ("count", "holds"),
    [
        (QueueCount(12, 1), "it holds 12 messages"),
        (QueueCount(0, 1), "it holds 0 messages"),
        (None, "what it holds is unknown"),
    ],
)
def test_a_queue_that_is_to_go_is_emptied_first(count: QueueCount | None, holds: str) -> None:
    """No command deletes a queue that holds messages, or that has consumers, which may hold some."""
    found = amqp_findings.object_that_differs(a_site(), AmqpQueue("bridge.q.mail"), "it differs", count)

    assert (found.next_step or "").startswith(f"{holds}: stop what publishes to it, let it run empty, stop the other ")
    assert "rabbitmqctl" not in (found.next_step or "")


def test_an_empty_queue_that_is_to_go() -> None:
    """The command is without `--if-empty`, which RabbitMQ refuses for quorum queues and ignores for streams."""
    found = amqp_findings.object_that_differs(a_site(), AmqpQueue("bridge.q.mail"), "it differs", QueueCount(0, 0))

    assert found.next_step == (
        "stop the programs: what comes into it now is lost; rabbitmqctl delete_queue -p / bridge.q.mail; "
        "start bridge-worker, which declares what is not there"
    )


def test_an_exchange_that_is_to_go_takes_the_bindings_of_others_with_it() -> None:
    """Programs declare their own bindings again; those of foreign queues are a person's work."""
    found = amqp_findings.object_that_differs(a_site(), AmqpExchange("bridge.events"), "it differs", None)

    assert (found.next_step or "").startswith("stop the programs; curl -u web -X DELETE ")
    assert (found.next_step or "").endswith("; bind to it again what others had bound")


def test_what_is_missing_is_imported_where_nothing_is_declared() -> None:
    """With `declare = false`, an administrator has to import missing objects."""
    found = amqp_findings.missing_objects(a_site(declares=False), objects(Names("bridge"), QUEUES)[:2], 50)

    assert found.next_step == "bridge-doctor --definitions | rabbitmqctl import_definitions"


def test_a_paused_queue_needs_no_worker_but_a_person() -> None:
    """Its workers have no consumer: the finding says who paused it and how it is resumed. A pause alone is no fault."""
    counts = {"mail": QueueCount(1812, 0), "news": QueueCount(1, 0), "default": QueueCount(0, 2)}
    reason = "paused by ana@web1 until 2026-11-20 14:00 UTC: provider down"

    mail, news, served = amqp_findings.consumers(counts, {"mail": reason, "default": reason})

    assert (mail.sentence, mail.next_step) == (
        f"queue mail has no consumer and holds 1812 events: {reason}",
        "bridge-queues resume mail",
    )
    assert news.next_step == "start bridge-worker with these settings"
    assert served.state is FindingState.OK


def test_the_deadline_that_a_listener_may_reach_counts_too() -> None:
    """The default is below RabbitMQ's default, and a policy may be below it."""
    queue = Queue("nightly")
    (fine,) = amqp_findings.consumer_timeouts((queue,), {})
    (late,) = amqp_findings.consumer_timeouts((queue,), {"nightly": timedelta(minutes=20)})

    assert fine.state is FindingState.OK
    assert late.state is FindingState.WRONG
    assert "may last 1500 s if its listener asks for more time" in late.sentence
    assert late.next_step == "a shorter deadline_at_most, or a policy with a consumer-timeout of 3000000"


@pytest.mark.parametrize(("deadline", "state"), [(1799, FindingState.OK), (1800, FindingState.UNKNOWN)])
def test_deadlines_and_the_consumer_timeout(deadline: int, state: FindingState) -> None:
    """A deadline beyond RabbitMQ's 30 minutes is reported as unknown, because its configuration may differ."""
    (found,) = amqp_findings.consumer_timeouts((Queue("nightly", deadline=timedelta(seconds=deadline)),), {})

    assert found.state is state


def test_a_consumer_timeout_of_a_policy() -> None:
    """A policy's consumer timeout applies to its queue."""
    expected = [each for each in objects(Names("bridge"), QUEUES) if isinstance(each, AmqpQueue)]
    policies = Policies([{"name": "p", "pattern": "mail", "definition": {"consumer-timeout": 50_000}}], [])

    timeouts = management_findings.consumer_timeouts(a_site(), expected, policies)
    (found,) = amqp_findings.consumer_timeouts(QUEUES, timeouts)

    assert (
        found.sentence
        == "queue mail: a replay may last 60 s, but RabbitMQ takes back deliveries that are held for 50 s"
    )
    assert found.next_step == "a shorter deadline, or a policy with a consumer-timeout of 120000"


def test_a_consumer_timeout_longer_than_any_time() -> None:
    """RabbitMQ takes any number for it."""
    expected = [each for each in objects(Names("bridge"), QUEUES) if isinstance(each, AmqpQueue)]
    policies = Policies([{"name": "p", "pattern": "mail", "definition": {"consumer-timeout": 10**30}}], [])

    timeouts = management_findings.consumer_timeouts(a_site(), expected, policies)

    assert [each.state for each in amqp_findings.consumer_timeouts(QUEUES, timeouts)] == [FindingState.OK]


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (0, "agrees with RabbitMQ's within some seconds"),
        (-5, "agrees with RabbitMQ's within some seconds"),
        (3600, "this machine's is 3600 s ahead of RabbitMQ's"),
        (-90, "this machine's is 90 s behind RabbitMQ's"),
    ],
)
def test_clocks(ahead: int, said: str) -> None:
    """A difference of some seconds is in order, because the management API reports whole seconds."""
    assert management_findings.clock(NOW, NOW + timedelta(seconds=ahead)).sentence == said


def test_a_clock_that_is_not_told() -> None:
    """Without a Date header, which a proxy may have removed, the clock is unknown."""
    assert management_findings.clock(None, NOW).state is FindingState.UNKNOWN


def a_row(name: str, **columns: Any) -> dict[str, Any]:
    """Return a queue as the management API reports it."""
    return {"name": name, "arguments": {}, "messages": 0} | columns


def test_a_queue_that_the_settings_have_forgotten() -> None:
    """A queue that is not in the settings is reported if it holds or takes events, with both remedies, once for all its
    lanes. Queues of other namespaces are not."""
    expected = [each for each in objects(Names("bridge"), QUEUES) if isinstance(each, AmqpQueue)]
    rows = [
        a_row("bridge.q.old"),
        a_row("bridge.q.old.low", messages=1),
        a_row("bridge.q.empty"),
        a_row("other.q.old", messages=5),
    ]

    rows += [a_row("bridge.q.mail", messages=3), a_row("bridge.q.bound")]
    bound = {"source": "bridge.events", "destination": "bridge.q.bound", "routing_key": "old.#"}

    taking, found = management_findings.queues_not_in_settings(a_site(), expected, rows, [bound])

    assert found.sentence == "bridge.q.old holds 1 event and is not in the settings: no worker serves it"
    assert taking.sentence.startswith("bridge.q.bound holds 0 events, takes 'old.#' and is not in the settings")
    assert found.next_step == (
        "[queues.old] in bridge.toml; or, with its events: rabbitmqctl delete_queue -p / bridge.q.old; "
        "rabbitmqctl delete_queue -p / bridge.q.old.low"
    )


@pytest.mark.parametrize(
    ("definition", "harms"),
    [
        ({"queue-leader-locator": "balanced", "delivery-limit": 100}, 0),
        ({"overflow": "reject-publish", "dead-letter-strategy": "at-least-once"}, 0),
        ({"overflow": "drop-head", "message-ttl": 5}, 1),
        ({"expires": 1000}, 1),
    ],
)
def test_policies(definition: dict[str, Any], harms: int) -> None:
    """A policy is reported only if it changes something that the topology relies on."""
    expected = [each for each in objects(Names("bridge"), QUEUES) if each.name == "bridge.q.mail"]
    policies = Policies([{"name": "p", "pattern": ".*", "definition": definition}], [])

    found = management_findings.policies(a_site(), [each for each in expected if isinstance(each, AmqpQueue)], policies)

    assert sum(finding.state is FindingState.WRONG for finding in found) == harms


@pytest.mark.parametrize(
    ("broker", "setting", "url", "user"),
    [
        ("amqp://web:sesame@one,two/", None, "http://one:15672", "web"),
        ("amqps://one/", None, "https://one:15671", "guest"),
        ("amqp://web:x@one/", "http://me:sesame@two:80/rabbit", "http://two/rabbit", "me"),
        ("amqp://web:x@one/", "https://two", "https://two", "web"),
    ],
)
def test_where_the_management_is(broker: str, setting: str | None, url: str, user: str) -> None:
    """The management API is at the first host unless the settings name another one, and is used as the broker's user
    unless the URL names one; its text has no password."""
    management = Management.of(address(broker), setting)

    assert (str(management).rstrip("/"), management.user) == (url, user)
    assert "sesame" not in f"{management} {management.url('bindings', 'e', 'a.b')}"
