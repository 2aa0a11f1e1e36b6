"""The topology as a definitions file of RabbitMQ, for an operator to import: the same table that programs declare from.
No users, permissions or virtual hosts are in it."""

from collections.abc import Sequence
from typing import Any

from bridge.brokers.rabbitmq.topology import AmqpQueue, Binding, Exchange, Names, declarations
from bridge.queues import Queue


def definitions_of(names: Names, queues: Sequence[Queue], vhost: str) -> dict[str, Any]:
    """Return what a namespace with these queues needs in a virtual host that is there."""
    kinds: dict[str, list[dict[str, Any]]] = {"exchanges": [], "queues": [], "bindings": []}
    for declaration in declarations(names, queues):
        match declaration:
            case Exchange(name=name, type=kind, arguments=arguments):
                entry = {"name": name, "type": kind, "auto_delete": False, "internal": False, "durable": True}
                kinds["exchanges"].append({"vhost": vhost, **entry, "arguments": arguments})
            case AmqpQueue(name=name, arguments=arguments):
                entry = {"name": name, "auto_delete": False, "durable": True, "arguments": arguments}
                kinds["queues"].append({"vhost": vhost, **entry})
            case Binding() as binding:
                kinds["bindings"].append({"vhost": vhost, **bound(binding)})
    return kinds


def bound(binding: Binding) -> dict[str, Any]:
    """Return a binding as definitions files and the management write it."""
    return {
        "source": binding.source,
        "destination": binding.target,
        "destination_type": "exchange" if binding.to_exchange else "queue",
        "routing_key": binding.pattern,
        "arguments": {},
    }
