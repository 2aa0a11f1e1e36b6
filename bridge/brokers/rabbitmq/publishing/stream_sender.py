"""Sends messages to one stream."""

from collections.abc import Awaitable, Callable

from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.publishing.confirmation import Confirmation
from bridge.brokers.rabbitmq.publishing.confirming import Nacked, Returned
from bridge.brokers.rabbitmq.publishing.publication import Addressed
from bridge.brokers.rabbitmq.publishing.sender import Sender
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.errors import BridgeError, BrokerRefused


class StreamSender(Sender):
    """A sender to one stream: the ledger or a log. `repair` makes the stream exist, or raises.

    After a broken connection a message may be in the stream twice. Raises `BrokerRefused`, and at the deadline
    `BrokerUnavailable` (nothing was published) or `AppendUnconfirmed` (it may have been).
    """

    def __init__(self, address: Address, names: Names, repair: Callable[[], Awaitable[None]]) -> None:
        super().__init__(address, names, repair)
        self._repair = repair

    async def _returned(self, to: Addressed, confirmation: Confirmation, published_at: float, error: Returned) -> None:
        await self._repair()  # the stream does not exist

    async def _rejected(self, to: Addressed, confirmation: Confirmation, error: Nacked) -> None:
        confirmation.unknown = True  # the stream had no leader that could confirm it

    async def _exchange_missing(self, published_at: float) -> None:
        await self._repair()

    def _forbidden(self, confirmation: Confirmation, words: str) -> BridgeError:
        return BrokerRefused(words)

    def _failure(self, confirmation: Confirmation, reason: str, *, refused: bool) -> BridgeError:
        return confirmation.as_append_error(reason, refused=refused)
