"""The operations of a process on mailboxes, as values, which its publishing thread runs. `undone` is what an error
says if the broker could not be reached."""

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from bridge.errors import BridgeError, BrokerRefused, BrokerUnavailable, DeferForbidden
from bridge.handling import Priority

if TYPE_CHECKING:
    from bridge.brokers.contract.mailboxes import HeldMessage, Mailboxes
    from bridge.deadline import Deadline


@dataclass(frozen=True, slots=True)
class PutMessage:
    """Put a message into a mailbox."""

    undone: ClassVar = "no message was put"
    mailbox: str
    body: bytes
    priority: Priority

    async def run(self, mailboxes: "Mailboxes", deadline: "Deadline") -> Literal["broker"]:
        """Return when the message is durable. Raise what `Mailboxes.put` raises."""
        await mailboxes.put(self.mailbox, self.body, self.priority, deadline=deadline)
        return "broker"


@dataclass(frozen=True, slots=True)
class Fetched:
    """The answer to a fetch: the message, or None if none came in time."""

    message: "HeldMessage | None"


@dataclass(frozen=True, slots=True)
class FetchMessage:
    """Fetch a message, and wait `seconds` for one. The message is either handed over to the caller or, if the caller
    has given up, given back."""

    undone: ClassVar = "no message was fetched"
    mailbox: str
    seconds: float
    _decided: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    def give_up(self) -> bool:
        """Decide that the caller takes no message. Return False if one has been handed over, or is just now."""
        return self._decided.acquire(blocking=False)

    async def run(self, mailboxes: "Mailboxes", deadline: "Deadline") -> Fetched:
        """Return the message. Raise what `Mailboxes.fetch` raises."""
        message = await mailboxes.fetch(self.mailbox, self.seconds, deadline=deadline)
        if message is not None and not self._decided.acquire(blocking=False):
            await message.give_back()
            return Fetched(None)
        return Fetched(message)


@dataclass(frozen=True, slots=True)
class SettleMessage:
    """Acknowledge a message that was fetched, or give it back."""

    undone: ClassVar = "the message was not settled"
    message: "HeldMessage"
    ack: bool

    async def run(self, mailboxes: "Mailboxes", deadline: "Deadline") -> Literal["broker"]:
        """Return when it is settled. Raise `DeliveryLost`."""
        await (self.message.ack() if self.ack else self.message.give_back())
        return "broker"


Errand = PutMessage | FetchMessage | SettleMessage


async def run(errand: Errand, mailboxes: "Mailboxes", deadline: "Deadline") -> "Fetched | Literal['broker']":
    """Run the errand, and return its answer. Raise errors of the bridge alone."""
    try:
        return await errand.run(mailboxes, deadline)
    except BrokerRefused as error:
        raise DeferForbidden(str(error)) from error
    except BridgeError:
        raise
    except Exception as error:
        raise BrokerUnavailable(f"internal error of a mailbox: {type(error).__name__}: {error}") from error
