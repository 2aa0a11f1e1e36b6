"""Errands to mailboxes for synchronous, threaded and forked callers: a publishing thread runs them."""

import time
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from app_adapter.publishing_thread import PublishingThread, end_of
from app_adapter.ticket import Ticket
from bridge.deadline import Deadline
from bridge.errors import BridgeError, BrokerUnavailable, DeferUnavailable, DeferUnconfirmed, DeliveryLost
from bridge.publishing.errands import FetchMessage, PutMessage, SettleMessage

if TYPE_CHECKING:
    from bridge.brokers.contract.mailboxes import HeldMessage
    from bridge.publishing.errands import Fetched

HANDED_OVER_SECONDS = 1.0
"""Seconds that the thread may take to answer after it has decided to hand a message over."""


def put(thread: PublishingThread, errand: PutMessage, deadline: Deadline) -> None:
    """Put a message into a mailbox before the deadline. Raise the errors of `PublishingThread.publish`."""
    ticket = Ticket(errand, deadline)
    try:
        thread.hand_over([ticket])
        answer = _wait(ticket, deadline)
    except BrokerUnavailable as error:
        raise DeferUnavailable(str(error)) from error
    finally:
        withdrawn = ticket.withdraw()
    if answer is None and withdrawn:
        raise DeferUnavailable(thread.out_of_time(errand.undone))
    if answer is None:
        why = f"the message to mailbox '{errand.mailbox}': written, not confirmed within {deadline.budget:g} s"
        raise DeferUnconfirmed("", why)


def fetch(thread: PublishingThread, errand: FetchMessage, deadline: Deadline) -> "HeldMessage | None":
    """Fetch a message; return None if none came in time. Raise `DeferUnavailable` or `DeferForbidden`. If a signal
    handler raises, its exception passes through, and the message returns to its mailbox."""
    ticket = Ticket(errand, deadline)
    answer: object = None
    try:
        thread.hand_over([ticket])
        answer = _wait(ticket, deadline)
        if answer is None and not _given_up(ticket, errand):
            answer = ticket.wait(HANDED_OVER_SECONDS)
    except BrokerUnavailable as error:
        raise DeferUnavailable(str(error)) from error
    finally:
        if answer is None and not _given_up(ticket, errand):
            _give_back_what_comes(thread, ticket)
    if answer is None:
        raise DeferUnavailable(thread.out_of_time(errand.undone))
    return cast("Fetched", answer).message


def settle(thread: PublishingThread, errand: SettleMessage, deadline: Deadline) -> None:
    """Acknowledge a message, or give it back. Raise `DeliveryLost` if it is not known to be settled."""
    ticket = Ticket(errand, deadline)
    try:
        thread.hand_over([ticket])
        answer = _wait(ticket, deadline)
    except BrokerUnavailable as error:
        raise DeliveryLost(f"the message is not acknowledged, and comes again: {error}") from error
    if answer is None:
        raise DeliveryLost(f"the message may come again: not acknowledged within {deadline.budget:g} s")


def _given_up(ticket: Ticket, errand: FetchMessage) -> bool:
    """Return True if no message is handed over to the caller: the fetch has not begun, or will give back what it
    gets."""
    return ticket.withdraw() or errand.give_up()


def _give_back_what_comes(thread: PublishingThread, ticket: Ticket) -> None:
    """Give back a message that was handed over to a caller who has left."""
    with suppress(BridgeError):  # without a message, or without a thread, whose end gives it back
        answer = cast("Fetched | None", ticket.wait(HANDED_OVER_SECONDS))
        if answer is not None and answer.message is not None:
            thread.hand_over([Ticket(SettleMessage(answer.message, ack=False), ticket.deadline)])


def _wait(ticket: Ticket, deadline: Deadline) -> object:
    return ticket.wait(max(end_of(deadline) - time.monotonic(), 0.0))
