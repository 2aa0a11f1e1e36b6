"""All faults, and the pairs of them that are tried together."""

from tests.faults import (
    cluster_faults,
    host_faults,
    input_faults,
    ledger_faults,
    network_faults,
    node_faults,
    process_faults,
    spool_faults,
    sqlite_faults,
)
from tests.faults.ordeal import Fault

FAMILIES = (
    process_faults,
    host_faults,
    input_faults,
    sqlite_faults,
    ledger_faults,
    node_faults,
    cluster_faults,
    network_faults,
    spool_faults,
)
"""Of each, `FAULTS` are all, and `SHORT` is how they are shared out among the short ordeals."""

FAULTS: tuple[Fault, ...] = tuple(fault for family in FAMILIES for fault in family.FAULTS)

PAIRS: tuple[tuple[str, str, str], ...] = (
    ("sqlite", "SIGKILL of a worker", "SIGKILL of a publisher"),
    ("sqlite", "disk full", "SIGKILL of children in mid-request"),
    ("sqlite", "rows that nobody wrote", "forks of a publisher in mid-publish"),
    ("rabbitmq", "messages with no properties", "SIGKILL of a worker"),
    ("sqlite", "ten publishers and three workers on one file", "transaction of a stranger"),
    ("sqlite", "redrive amid SIGKILL of bridge-dlq", "SIGKILL of a worker"),
    ("rabbitmq", "redrive amid SIGKILL of bridge-dlq", "SIGKILL of a worker"),
    ("rabbitmq", "SIGKILL of RabbitMQ", "SIGKILL of a publisher"),
    ("cluster", "node cut off and healed", "SIGKILL of a publisher"),
    ("proxied", "reset", "SIGKILL of a worker"),
)
"""A stage, and the names of two faults that are done to it at the same time."""


def ordeals() -> list[tuple[str, tuple[Fault, ...]]]:
    """Return every ordeal: the name of a stage, and its faults."""
    named = {fault.name: fault for fault in FAULTS}
    alone = [(on, (fault,)) for fault in FAULTS for on in fault.on]
    return [*alone, *((on, (named[one], named[other])) for on, one, other in PAIRS)]
