"""Removes what one run of the demo declared on RabbitMQ: the objects of its namespace, and what they hold."""

from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.queues import Queue


async def remove(url: str, namespace: str, queues: tuple[Queue, ...]) -> int:
    """Delete the queues and exchanges that a namespace with these queues has, and return how many those are. What is
    not there is no error."""
    return await RabbitBroker.from_url(url, namespace).remove(queues)
