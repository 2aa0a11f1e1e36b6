"""Removes what one run of the demo declared on RabbitMQ: the objects of its namespace, and what they hold."""

import aio_pika

from bridge.brokers.rabbitmq.topology import AmqpQueue, Exchange, Names, declarations
from bridge.queues import Queue


async def remove(url: str, namespace: str, queues: tuple[Queue, ...]) -> int:
    """Delete the queues and exchanges that a namespace with these queues has, and return how many those are. What is
    not there is no error."""
    objects = [each for each in declarations(Names(namespace), queues) if isinstance(each, AmqpQueue | Exchange)]
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        for each in objects:
            if isinstance(each, AmqpQueue):
                await channel.queue_delete(each.name)
            else:
                await channel.exchange_delete(each.name)
    return len(objects)
