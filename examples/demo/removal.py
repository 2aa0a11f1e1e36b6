"""Removes the objects of one run of the demo from RabbitMQ: those of its namespace, with their messages."""

from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.queues import Queue


async def remove(url: str, namespace: str, queues: tuple[Queue, ...]) -> int:
    """Delete the queues and exchanges of a namespace with these queues; return their count. A missing object is no
    error."""
    return await RabbitBroker.from_url(url, namespace).remove(queues)
