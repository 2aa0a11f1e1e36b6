"""From what RabbitMQ and its management say to findings: no broker is asked here."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.brokers.rabbitmq import managed, verdicts
from bridge.brokers.rabbitmq.address import address
from bridge.brokers.rabbitmq.management import Management
from bridge.brokers.rabbitmq.probing import Count
from bridge.brokers.rabbitmq.site import Site
from bridge.brokers.rabbitmq.topology import AmqpQueue, Names, objects
from bridge.findings import State
from bridge.queues import Queue

QUEUES = (Queue("mail", ("mail.#",)), Queue("default"))
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def a_site(url: str = "amqp://web:sesame@broker/", *, declares: bool = True, management: str | None = None) -> Site:
    """A site at this URL."""
    where = address(url)
    return Site(Names("bridge"), where.vhost, where.urls[0].user or "", declares, Management.of(where, management))


@pytest.mark.parametrize(
    ("properties", "state"),
    [
        ({"product": "RabbitMQ", "version": "3.10.8"}, State.OK),
        ({"product": "RabbitMQ", "version": "4.1.0-beta.1"}, State.OK),
        ({"product": "RabbitMQ", "version": "3.9.29"}, State.WRONG),
        ({"product": "LavinMQ", "version": "4.0"}, State.WRONG),
        ({}, State.WRONG),
    ],
)
def test_versions(properties: dict[str, object], state: State) -> None:
    """RabbitMQ from 3.10 on is what the topology is made for."""
    assert verdicts.version("broker:5672", properties).state is state


def test_a_shell_takes_the_commands_as_they_are() -> None:
    """What a virtual host or a user is called cannot break out of a command."""
    site = a_site("amqp://a%20b:x@broker/shop%20one")

    found = verdicts.permissions(site, {"configure": [], "write": ["bridge.events"], "read": []}, blocked=False)

    assert found.next_step == (
        r"rabbitmqctl set_permissions -p 'shop one' 'a b' '^bridge\.' '^bridge\.|^amq\.default$' '^bridge\.'"
    )


def test_many_names_are_not_all_listed() -> None:
    """Three of them, and how many more."""
    found = verdicts.permissions(a_site(), {"configure": [], "write": list("abcdef"), "read": ["x"]}, blocked=False)

    assert found.sentence == "user 'web' may not write a, b, c and 3 more; may not read x"


def test_what_an_alarm_keeps_from_being_asked() -> None:
    """What a user may write is not said then."""
    found = verdicts.permissions(a_site(), {"configure": [], "write": [], "read": []}, blocked=True)

    assert found.sentence == "user 'web' may configure, read"


def test_a_queue_that_is_to_go_is_emptied_first() -> None:
    """And it is deleted only where it is empty."""
    found = verdicts.differing(a_site(), AmqpQueue("bridge.q.mail"), "it differs", Count(12, 1))

    assert (found.next_step or "").startswith(
        "it holds 12 messages: let the workers empty it, then stop the programs; "
    )
    assert "rabbitmqctl delete_queue -p / bridge.q.mail --if-empty" in (found.next_step or "")


def test_what_is_missing_is_imported_where_nothing_is_declared() -> None:
    """With `declare = false` an administrator makes it."""
    found = verdicts.topology(a_site(declares=False), objects(Names("bridge"), QUEUES)[:2], 50)

    assert (
        found.next_step
        == "bridge-doctor --definitions > /tmp/bridge.json; rabbitmqctl import_definitions /tmp/bridge.json"
    )


@pytest.mark.parametrize(("deadline", "state"), [(1799, State.OK), (1800, State.UNKNOWN)])
def test_deadlines_and_the_consumer_timeout(deadline: int, state: State) -> None:
    """A replay must end before RabbitMQ's 30 minutes are over, unless its own settings say otherwise: who knows?"""
    (found,) = verdicts.timeouts((Queue("nightly", deadline=timedelta(seconds=deadline)),), {})

    assert found.state is state


def test_a_consumer_timeout_of_a_policy() -> None:
    """A policy's is the one that counts for its queue."""
    rows = [a_row("bridge.q.mail", effective_policy_definition={"consumer-timeout": 50_000}), a_row("other")]

    (found,) = verdicts.timeouts(QUEUES, managed.timeouts(a_site(), rows))

    assert found.sentence == "queue mail: a replay may last 60 s, and RabbitMQ takes back what is held for 50 s"
    assert found.next_step == "a shorter deadline, or a policy with a consumer-timeout of 120000"


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (0, "as RabbitMQ's, within some seconds"),
        (-5, "as RabbitMQ's, within some seconds"),
        (3600, "this machine's is 3600 s ahead of RabbitMQ's"),
        (-90, "this machine's is 90 s behind RabbitMQ's"),
    ],
)
def test_clocks(ahead: int, said: str) -> None:
    """Some seconds are no difference, for the management tells whole ones."""
    assert managed.clock(NOW, NOW + timedelta(seconds=ahead)).sentence == said


def test_a_clock_that_is_not_told() -> None:
    """Something between may have dropped the header."""
    assert managed.clock(None, NOW).state is State.UNKNOWN


def a_row(name: str, **columns: Any) -> dict[str, Any]:
    """A queue as the management tells of it."""
    return {"name": name, "arguments": {}, "messages": 0, "policy": None, "operator_policy": None} | columns


def test_a_queue_that_the_settings_have_forgotten() -> None:
    """It is told of where it holds events, or takes them, with both ways out. Other namespaces' queues are theirs."""
    expected = [each for each in objects(Names("bridge"), QUEUES) if isinstance(each, AmqpQueue)]
    rows = [a_row("bridge.q.old", messages=1), a_row("bridge.q.empty"), a_row("other.q.old", messages=5)]

    rows += [a_row("bridge.q.mail", messages=3), a_row("bridge.q.bound")]
    bound = {"source": "bridge.events", "destination": "bridge.q.bound", "routing_key": "old.#"}

    found, taking = managed.forgotten(a_site(), expected, rows, [bound])

    assert found.sentence == "bridge.q.old holds 1 event and is not in the settings: nobody serves it"
    assert taking.sentence.startswith("bridge.q.bound holds 0 events, takes 'old.#' and is not in the settings")
    assert found.next_step == (
        "[queues.old] in bridge.toml; or, with its events: rabbitmqctl delete_queue -p / bridge.q.old"
    )


@pytest.mark.parametrize(
    ("definition", "harms"),
    [
        ({"queue-leader-locator": "balanced", "delivery-limit": 100}, 0),
        ({"overflow": "reject-publish", "dead-letter-strategy": "at-least-once"}, 0),
        ({"overflow": "drop-head", "message-ttl": 5}, 2),
        ({"expires": 1000}, 1),
    ],
)
def test_policies(definition: dict[str, Any], harms: int) -> None:
    """What changes nothing that the topology relies on is an operator's own business."""
    expected = [each for each in objects(Names("bridge"), QUEUES) if each.name == "bridge.q.mail"]
    row = a_row("bridge.q.mail", policy="p", effective_policy_definition=definition)

    found = managed.policies(a_site(), [each for each in expected if isinstance(each, AmqpQueue)], [row])

    assert sum(finding.state is State.WRONG for finding in found) == harms


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
    """Beside the first host unless the settings say where, and as the broker's user unless the URL names one; its text
    has no password."""
    management = Management.of(address(broker), setting)

    assert (str(management).rstrip("/"), management.user) == (url, user)
    assert "sesame" not in f"{management} {management.url('bindings', 'e', 'a.b')}"
