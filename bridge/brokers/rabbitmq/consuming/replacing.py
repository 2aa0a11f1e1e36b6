"""Replaces messages that are not to be replayed now: publishes another one, then acknowledges the original."""

import asyncio
import logging
from contextlib import suppress

from bridge.brokers.rabbitmq.consuming.consumer_channel import ConsumerChannel
from bridge.brokers.rabbitmq.publishing.publication import Publication
from bridge.brokers.rabbitmq.publishing.publisher import RabbitPublisher
from bridge.errors import BridgeError, DeliveryLost, TooLarge

REPLACE_AGAIN_SECONDS = 1.0

log = logging.getLogger(__name__)


class Replacing:
    """The replacements of one consumer. `trouble` is the reason why the last one is not confirmed, for people; empty if
    it is."""

    def __init__(self, publisher: RabbitPublisher) -> None:
        self._publisher = publisher
        self.trouble = ""

    async def replace(self, replacement: Publication, channel: ConsumerChannel, tag: int) -> None:
        """Publish the replacement of a message until that succeeds, then acknowledge the message. If the replacement is
        too large for RabbitMQ, or after an internal error, RabbitMQ moves the message to the ledger as it is."""
        while not channel.lost:
            try:
                await self._publisher.send(replacement)
            except TooLarge as error:
                log.warning("a message cannot be replaced: %s; RabbitMQ moves it to the ledger as it is", error)
                set_aside(channel, tag)
                return
            except BridgeError as error:
                self.trouble = f"the replacement of a message is not confirmed: {error}"
                log.warning("%s; holding the message, trying again", self.trouble)
                await asyncio.sleep(REPLACE_AGAIN_SECONDS)
            except Exception:  # the message must not be held without limit: it would fill the prefetch
                log.exception("internal error while replacing a message; RabbitMQ moves it to the ledger as it is")
                set_aside(channel, tag)
                return
            else:
                self.trouble = ""
                channel.ack_replaced(tag)
                return


def set_aside(channel: ConsumerChannel, tag: int) -> None:
    """Let RabbitMQ move a message to the ledger as it is, if its channel is still open."""
    with suppress(DeliveryLost):
        channel.set_aside(tag)
