"""`mailbox()`: put messages into a mailbox and fetch them. A mailbox is for programs that want to fetch at their own
pace; events are for the app's listeners.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from flask import current_app

from app_adapter.defer import EXTENSION
from app_adapter.fork_safe_publishing import thread_of
from app_adapter.given_times import wait_of
from app_adapter.mailbox_errands import fetch, put, settle
from bridge.config.settings import Settings
from bridge.deadline import Deadline
from bridge.errors import BridgeError, DeferError, DeliveryLost, MailboxEmpty
from bridge.handling import Priority
from bridge.mailbox import checked_body, checked_name, checked_priority
from bridge.publishing.errands import FetchMessage, PutMessage, SettleMessage

if TYPE_CHECKING:
    from app_adapter.testing import Recording


def mailbox(name: str) -> "Mailbox":
    """Return the mailbox of this name, from within a Flask request or app context. It is made at its first use.

    A name has 1 to 60 of the characters A-Z a-z 0-9 _ -. Raise `DeferError` for another one, and outside an app.
    """
    state = current_app.extensions.get(EXTENSION) if current_app else None
    if state is None:
        where = f"the app {current_app.name!r} has no" if current_app else "outside a Flask context there is no"
        raise DeferError(f"{where} DeferredEvents: call DeferredEvents(app) first, or use events.mailbox()")
    found: Mailbox = state.mailbox(name)
    return found


@dataclass(frozen=True, slots=True)
class Message:
    """A message from a mailbox. `redelivered`: it may have been fetched before, by a program that did not finish."""

    body: bytes
    priority: Priority
    redelivered: bool


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox. `recording` returns the recording of a test, None without one; with `refusal`, which says why, nothing
    is sent. `creates`: a missing SQLite file is created."""

    name: str
    settings: Settings
    recording: "Callable[[], Recording | None]" = lambda: None
    refusal: str = ""
    creates: bool = True

    def put(self, body: bytes, *, priority: Literal["high", "normal", "low"] | None = None) -> None:
        """Put a message into the mailbox. When this returns, the message is durable in the broker.

        Return within `publish_timeout`, or raise `DeferError`: `InvalidPayload` for anything but bytes, `TooLarge` for
        more than `max_body`, `DeferUnconfirmed` if the message may have been put, and what `defer()` raises.
        """
        errand = PutMessage(self.name, checked_body(body, self.settings.values.max_body), checked_priority(priority))
        recording = self.recording()
        if recording is not None:
            recording.mailboxes.put(errand)
        else:
            thread = thread_of(self.settings, self._used(), creates=self.creates)
            put(thread, errand, self._deadline())

    @contextmanager
    def get(self, *, timeout: float | timedelta | str = 0) -> Iterator[Message]:
        """Fetch a message, and acknowledge it at the end of the block. If the block raises, or if this process ends
        before, the message returns to the mailbox, and the next who fetches gets it.

            with mailbox("q1").get(timeout=10) as message:
                work(message.body)

        Messages of high priority come first, then normal, then low ones, and the oldest of each. Wait for a message at
        most `timeout` (seconds, a timedelta, or a text such as "1m"); raise `MailboxEmpty` if none came. If the broker
        cannot be reached within `timeout` and `publish_timeout`, raise `DeferUnavailable`.

        At the end, raise `DeliveryLost` if the message is not known to be acknowledged: it may come again.
        """
        seconds = wait_of("timeout", timeout)
        recording = self.recording()
        if recording is not None:
            with recording.mailboxes.got(self.name, seconds) as recorded:
                yield Message(recorded.body, recorded.priority, redelivered=False)
            return
        thread = thread_of(self.settings, self._used(), creates=self.creates)
        held = fetch(thread, FetchMessage(self.name, seconds), self._deadline(seconds))
        if held is None:
            raise MailboxEmpty(f"no message came to mailbox '{self.name}' within {seconds:g} s")
        process = os.getpid()
        try:
            yield Message(held.body, held.priority, held.redelivered)
        except BaseException:
            if os.getpid() == process:
                with suppress(BridgeError):  # the block's own error counts, and the broker gives the message back
                    settle(thread, SettleMessage(held, ack=False), self._deadline())
            raise
        if os.getpid() != process:
            raise DeliveryLost("the message was fetched by another process, which this one was forked from")
        settle(thread, SettleMessage(held, ack=True), self._deadline())

    def _used(self) -> str:
        if self.refusal:
            raise DeferError(self.refusal)
        return f"mailbox '{self.name}' was used"

    def _deadline(self, more: float = 0.0) -> Deadline:
        return Deadline.after(self.settings.values.publish_timeout.total_seconds() + more, time.monotonic())


def mailbox_of(
    name: object, settings: Settings, recording: "Callable[[], Recording | None]", app: str, *, is_testing: bool
) -> Mailbox:
    """Return the mailbox of an app. While the app is testing, its mailboxes are those of the recording."""
    checked = checked_name(name)
    refusal = (
        f"the app {app!r} has TESTING set, so mailbox '{checked}' is not used. Use it in a `with events.testing():` "
        "block, which has mailboxes of its own; a test that needs the broker sets app.testing = False"
    )
    return Mailbox(checked, settings, recording, refusal if is_testing else "")
