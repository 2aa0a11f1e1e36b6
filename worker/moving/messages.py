"""Moves the messages of mailboxes: each is fetched from the old file, put into the same mailbox of the new broker, and
then acknowledged."""

import time
from collections.abc import Iterable

from bridge.brokers.contract.mailboxes import HeldMessage, Mailboxes
from bridge.deadline import Deadline
from bridge.errors import BridgeError, BrokerRefused, DeferForbidden, TooLarge
from bridge.logger import log
from worker.moving.tally import Kind, Tally

ANSWER_SECONDS = 60.0


class MessagesMove:
    """Moves messages to the mailboxes of a broker, one at a time, so that each mailbox keeps its order."""

    def __init__(self, new: Mailboxes, tally: Tally) -> None:
        self._new = new
        self._tally = tally

    async def move(self, old: Mailboxes, mailboxes: Iterable[str]) -> bool:
        """Move the messages that nobody holds. Return False if some have to be tried again later."""
        for mailbox in mailboxes:
            refused: list[HeldMessage] = []
            try:
                if not await self._move(old, mailbox, refused):
                    return False
            finally:
                for message in refused:
                    await message.give_back()
        return True

    async def _move(self, old: Mailboxes, mailbox: str, refused: list[HeldMessage]) -> bool:
        while (message := await old.fetch(mailbox, 0.0, deadline=_in(ANSWER_SECONDS))) is not None:
            try:
                await self._new.put(mailbox, message.body, message.priority, deadline=_in(ANSWER_SECONDS))
            except (TooLarge, DeferForbidden, BrokerRefused) as error:
                refused.append(message)
                self._tally.keep(f"a message of {len(message.body):,} bytes in mailbox {mailbox}", error)
            except BridgeError as error:
                log.warning("the new broker did not take a message of mailbox %s: %s; trying again", mailbox, error)
                await message.give_back()
                return False
            except BaseException:
                await message.give_back()
                raise
            else:
                await message.ack()
                self._tally.moved[Kind.MESSAGES] += 1
        return True


def _in(seconds: float) -> Deadline:
    return Deadline.after(seconds, time.monotonic())
