"""The permissions of the roles, as patterns: what a role needs matches, and what is another's does not."""

import re

import pytest

from bridge.brokers.contract.roles import Role
from bridge.brokers.rabbitmq.topology.declarations import AmqpExchange, AmqpQueue, objects
from bridge.brokers.rabbitmq.topology.names import LANES, Names
from bridge.brokers.rabbitmq.topology.roles import commands, permissions
from bridge.queues import Queue

NAMES = Names("bridge")
OBJECTS = objects(NAMES, [Queue("mail"), Queue("orders", ordered=True)], mailboxes=["mail"])
MAILBOX = {NAMES.mailbox("mail", lane) for lane in LANES}
EXCHANGES = {each.name for each in OBJECTS if isinstance(each, AmqpExchange)}
CALLS = NAMES.calls_queue("mail")
ANSWERS = NAMES.answers_queue("0f")
LISTENER, CLAIM = NAMES.listener("0f"), NAMES.claim("scheduler")
DECLARED = {each.name for each in OBJECTS if isinstance(each, AmqpQueue)}
QUEUE_NAMES = DECLARED | {NAMES.deciding, CALLS, ANSWERS, LISTENER, CLAIM}
OTHERS = {
    "amq.default",
    "amq.topic",
    "other.events",
    "xbridge.events",
    "bridge2.events",
    "bridge-events",
    "bridgexevents",
}
PUBLISHED = {*map(NAMES.events_of, LANES), NAMES.direct, *(NAMES.delay(level) for level in range(20))}

LOGS = {NAMES.log("controls"), NAMES.log("cancellations")}

EVERYTHING = EXCHANGES | QUEUE_NAMES | OTHERS

# A queue is bound by a user who may configure and write it, and may read the exchange.
CONFIGURES = {
    Role.WEB: {ANSWERS},
    Role.WORKER: {ANSWERS, CALLS, LISTENER, CLAIM},
    Role.MAILBOX: set(),
    Role.READER: {LISTENER},
    Role.DECIDER: {NAMES.deciding, CLAIM, LISTENER},
    Role.OPERATOR: {LISTENER},
    Role.DOCTOR: set(),
}
WRITES = {
    Role.MAILBOX: {NAMES.mailboxes},
    Role.WEB: PUBLISHED | {NAMES.calls, ANSWERS, NAMES.mailboxes},
    Role.WORKER: PUBLISHED
    | {
        NAMES.mailboxes,
        NAMES.dead_letters,
        NAMES.calls,
        CALLS,
        NAMES.answers,
        ANSWERS,
        NAMES.broadcast,
        LISTENER,
        CLAIM,
    },
    Role.READER: {NAMES.broadcast, LISTENER},
    Role.DECIDER: PUBLISHED | {NAMES.dead_letters, NAMES.broadcast, CLAIM, LISTENER},
    Role.OPERATOR: {NAMES.direct, *(NAMES.delay(level) for level in range(20)), NAMES.broadcast, LISTENER},
    Role.DOCTOR: set(),
}
FAILURES = {NAMES.log("failures"), NAMES.log("plans")}
QUEUES = {*(NAMES.queue("mail", lane) for lane in LANES), NAMES.queue("orders")}
READS = {
    Role.MAILBOX: MAILBOX | {NAMES.question},
    Role.WEB: MAILBOX | {NAMES.question, NAMES.answers, ANSWERS},
    Role.WORKER: {
        *QUEUES,
        *MAILBOX,
        *(name for name in DECLARED if ".log." in name),
        *(NAMES.ledger, NAMES.question, NAMES.calls, CALLS, NAMES.answers, ANSWERS, NAMES.broadcast, LISTENER, CLAIM),
    },
    Role.READER: {NAMES.ledger, NAMES.question, NAMES.log("workers"), *FAILURES, NAMES.broadcast, LISTENER},
    Role.DECIDER: {
        *(NAMES.ledger, NAMES.deciding, NAMES.question, NAMES.log("workers"), *FAILURES),
        *(NAMES.broadcast, CLAIM, LISTENER),
    },
    Role.OPERATOR: QUEUES | {NAMES.question, *LOGS, NAMES.log("workers"), NAMES.broadcast, LISTENER},
    Role.DOCTOR: set(),
}


def matched(pattern: str, names: set[str]) -> set[str]:
    """Return the names that RabbitMQ would find in the pattern."""
    return {name for name in names if re.search(pattern, name)}


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_its_work_alone(role: Role) -> None:
    """Of all exchanges and queues, and of names like them, the patterns match what the role needs."""
    may = permissions(NAMES, role, declares=False)

    assert matched(may.write, EVERYTHING) == WRITES[role]
    assert matched(may.read, EVERYTHING) == READS[role]
    assert matched(may.configure, EVERYTHING) == CONFIGURES[role]


@pytest.mark.parametrize("role", [Role.WEB, Role.WORKER])
def test_who_declares_may_use_the_namespace(role: Role) -> None:
    """With `declare`, the programs need all permissions, but for their own namespace only."""
    may = permissions(NAMES, role, declares=True)

    for pattern in (may.configure, may.write, may.read):
        assert matched(pattern, EVERYTHING) == EXCHANGES | QUEUE_NAMES


def test_who_makes_mailboxes_makes_nothing_else() -> None:
    """With `declare`, a program that uses mailboxes may make them, and touches no events."""
    may = permissions(NAMES, Role.MAILBOX, declares=True)

    made = MAILBOX | {NAMES.mailboxes}
    assert matched(may.configure, EVERYTHING) == made
    assert matched(may.write, EVERYTHING) == made
    assert matched(may.read, EVERYTHING) == made | {NAMES.question}


def test_commands_have_no_password() -> None:
    """`add_user` asks for the password, so that it is in no command line."""
    assert commands(NAMES, "shop one", Role.DOCTOR, declares=True) == (
        "rabbitmqctl add_user bridge-doctor\n"
        "rabbitmqctl set_permissions -p 'shop one' bridge-doctor '^$' '^$' '^$'\n"
        "rabbitmqctl set_user_tags bridge-doctor monitoring"
    )
