"""The broker's promise about mailboxes: a message that was put is fetched, and is gone when it is acknowledged.

A message that was fetched and not acknowledged is fetched again, also if its holder was killed.
"""

from typing import Protocol

from bridge.deadline import Deadline
from bridge.handling import Priority


class HeldMessage(Protocol):
    """A message that this process has fetched. No other process gets it meanwhile. Its user calls one of the two verbs,
    once."""

    @property
    def body(self) -> bytes: ...

    @property
    def priority(self) -> Priority: ...

    @property
    def redelivered(self) -> bool:
        """True if the message may have been fetched before."""

    async def ack(self) -> None:
        """Delete the message. Raise `DeliveryLost` if it is not known to be deleted: then it may be fetched again."""

    async def give_back(self) -> None:
        """Return the message to its mailbox. Raise nothing: a broker that cannot be reached does it by itself."""


class Mailboxes(Protocol):
    """The mailboxes of a namespace. A mailbox is made at its first use."""

    async def put(self, mailbox: str, body: bytes, priority: Priority, *, deadline: Deadline) -> None:
        """Put a message into a mailbox; it is durable when this returns. Raise what `Publisher.put` raises, and
        `BrokerRefused` if the mailbox does not exist and may not be made."""

    async def fetch(self, mailbox: str, seconds: float, *, deadline: Deadline) -> HeldMessage | None:
        """Return a message of the highest priority, of those the oldest. Wait `seconds` for one; return None if none
        came. Raise `BrokerUnavailable` if the broker did not answer before the deadline, and `BrokerRefused`."""

    async def close(self) -> None:
        """Close the connections. Messages that are held return to their mailboxes."""
