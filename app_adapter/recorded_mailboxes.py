"""The mailboxes of an app's own tests: messages in memory, in the order of the real ones. No broker."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bridge.errors import MailboxEmpty
from bridge.mailbox import MOST_URGENT_FIRST

if TYPE_CHECKING:
    from bridge.publishing.errands import PutMessage


class RecordedMailboxes:
    """All mailboxes of a recording; safe for use in several threads."""

    def __init__(self) -> None:
        self._messages: list[PutMessage] = []
        self._changed = threading.Condition()

    def bodies(self, mailbox: str) -> list[bytes]:
        """Return the messages that are in a mailbox, in the order in which they would be fetched."""
        with self._changed:
            return [each.body for each in self._of(mailbox)]

    def put(self, message: "PutMessage") -> None:
        """Put a message into its mailbox."""
        with self._changed:
            self._messages.append(message)
            self._changed.notify_all()

    @contextmanager
    def got(self, mailbox: str, seconds: float) -> "Iterator[PutMessage]":
        """Take the next message; put it back to its place if the block raises. Raise `MailboxEmpty` if none comes."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._of(mailbox), seconds):
                raise MailboxEmpty(f"no message came to mailbox '{mailbox}' within {seconds:g} s")
            message = self._of(mailbox)[0]
            place = next(at for at, each in enumerate(self._messages) if each is message)
            del self._messages[place]
        try:
            yield message
        except BaseException:
            with self._changed:
                self._messages.insert(place, message)
                self._changed.notify_all()
            raise

    def _of(self, mailbox: str) -> "list[PutMessage]":
        found = [each for each in self._messages if each.mailbox == mailbox]
        return sorted(found, key=lambda each: MOST_URGENT_FIRST.index(each.priority))
