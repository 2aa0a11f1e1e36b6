"""All faults, and the pairs of faults that are done at the same time."""

from tests.faults import (
    call_faults,
    cluster_faults,
    effect_faults,
    host_faults,
    input_faults,
    ledger_faults,
    network_faults,
    node_faults,
    process_faults,
    spool_faults,
    sqlite_faults,
    steering_faults,
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
    call_faults,
    steering_faults,
    effect_faults,
)
"""The modules that define faults. `FAULTS` of a module are all of its faults, and `SHORT` groups them for the short
ordeals of the test suite."""

FAULTS: tuple[Fault, ...] = tuple(fault for family in FAMILIES for fault in family.FAULTS)

PAIRS: tuple[tuple[str, str, str], ...] = (
    ("sqlite", "SIGKILL of a worker", "SIGKILL of a publisher"),
    ("sqlite", "disk full", "SIGKILL of children in mid-request"),
    ("sqlite", "rows with invalid contents", "forks of a publisher during publishes"),
    ("rabbitmq", "messages with no properties", "SIGKILL of a worker"),
    ("sqlite", "ten publishers and three workers on one file", "long transaction of another program"),
    ("sqlite", "SIGKILL of bridge-dlq during a redrive", "SIGKILL of a worker"),
    ("rabbitmq", "SIGKILL of bridge-dlq during a redrive", "SIGKILL of a worker"),
    ("rabbitmq", "SIGKILL of RabbitMQ", "SIGKILL of a publisher"),
    ("cluster", "node cut off and healed", "SIGKILL of a publisher"),
    ("proxied", "reset", "SIGKILL of a worker"),
)
"""The name of a stage, and the names of two faults that are done to it at the same time."""


def ordeals() -> list[tuple[str, tuple[Fault, ...]]]:
    """Return every ordeal: the name of its stage, and its faults."""
    named = {fault.name: fault for fault in FAULTS}
    alone = [(on, (fault,)) for fault in FAULTS for on in fault.on]
    return [*alone, *((on, (named[one], named[other])) for on, one, other in PAIRS)]
