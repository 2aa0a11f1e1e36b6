"""The topology as a definitions file of RabbitMQ, which an operator can import. It has the same objects that programs
declare, and no users, permissions or virtual hosts.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from bridge.brokers.rabbitmq.topology.declarations import (
    AmqpExchange,
    AmqpQueue,
    Binding,
    declarations,
    mailbox_declarations,
)
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.logs import Retention
from bridge.queues import Queue


def definitions_of(
    names: Names,
    queues: Sequence[Queue],
    vhost: str,
    history: Retention | None = None,
    mailboxes: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the definitions of a namespace with these queues and mailboxes, for an existing virtual host."""
    kinds: dict[str, list[dict[str, Any]]] = {"exchanges": [], "queues": [], "bindings": []}
    for declaration in chain(declarations(names, queues, history), mailbox_declarations(names, mailboxes)):
        match declaration:
            case AmqpExchange(name=name, type=kind, arguments=arguments):
                entry = {"name": name, "type": kind, "auto_delete": False, "internal": False, "durable": True}
                kinds["exchanges"].append({"vhost": vhost, **entry, "arguments": arguments})
            case AmqpQueue(name=name, arguments=arguments):
                entry = {"name": name, "auto_delete": False, "durable": True, "arguments": arguments}
                kinds["queues"].append({"vhost": vhost, **entry})
            case Binding() as binding:
                kinds["bindings"].append({"vhost": vhost, **binding_fields(binding)})
    return kinds


def binding_fields(binding: Binding) -> dict[str, Any]:
    """Return a binding in the format of definitions files and the management API."""
    return {
        "source": binding.source,
        "destination": binding.target,
        "destination_type": "exchange" if binding.to_exchange else "queue",
        "routing_key": binding.pattern,
        "arguments": {},
    }
