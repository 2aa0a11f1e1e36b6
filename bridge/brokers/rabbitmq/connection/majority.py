"""Finds out whether a RabbitMQ node is cut off from the majority of its cluster.

RabbitMQ 4.3 has no partition handling: a node that is cut off keeps its clients, confirms nothing and delivers nothing.
The question is a `basic.get` on a quorum queue that is always empty: only the queue's leader can answer it, and only
with the majority.
"""

import asyncio
from contextlib import suppress
from functools import partial

from aio_pika import Connection
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity, ConnectionInternalError

from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.connecting import Check, engine_of, open_channel
from bridge.brokers.rabbitmq.connection.errors import NoAnswer

ANSWER_SECONDS = 5.0


def cluster_check(address: Address, question: str) -> Check | None:
    """Return the check of a temporary connection; None if there is only one host to connect to."""
    return partial(require_majority, question) if len(address.urls) > 1 else None


async def require_majority(question: str, connection: Connection) -> None:
    """Ask the node at the other end of a new connection; `question` is the name of the queue. Raise `NoAnswer` if the
    node reaches no majority or does not answer within `ANSWER_SECONDS`, or one of `BROKEN` if the connection breaks.

    Any other answer is taken for yes, also to a user who may not read the queue and before the queue is declared: then
    nothing is known.
    """
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            channel = await open_channel(connection, confirms=False)
            with suppress(ChannelAccessRefused, ChannelNotFoundEntity):
                await (await engine_of(channel)).basic_get(question, no_ack=True)
                await channel.close()
    except (TimeoutError, ConnectionInternalError) as error:
        raise NoAnswer("the node is cut off from the majority of its cluster, or does not answer") from error
