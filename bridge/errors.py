"""The errors that all packages share. The class says who caused the error: the caller, the settings, the broker or the
data. Exceptions of libraries are translated into these where the library is called."""

from collections.abc import Mapping, Sequence


def shown(value: object, length: int = 100) -> str:
    """Return the value as a message quotes it: its `repr`, cut to this length. The type's name stands for a value whose
    `repr` raises, such as an integer of 5,000 digits."""
    try:
        return f"{value!r:.{length}}"
    except Exception:  # the value is one of the app, and its `repr` may raise anything
        return f"a value of type {type(value).__name__}"


class BridgeError(Exception):
    """The base class of all errors that the bridge raises on purpose."""


class SettingsError(BridgeError):
    """A setting cannot be used. The message names the key, the value, the value's origin, and what was expected."""


class BrokerRefused(BridgeError):
    """The broker refused the client: wrong credentials, missing permissions, or objects that exist with other
    arguments."""


class DeliveryLost(BridgeError):
    """The delivery cannot be settled, because the connection that it came over is lost. The broker redelivers it."""


class UnreadableEnvelope(BridgeError):
    """The envelope is damaged, or has a version that this program cannot read. Its bytes are kept."""


class PolicyError(BridgeError):
    """A retry policy raised, or returned an invalid wait. The default policy decides about the event instead."""


class BrokerUnavailable(BridgeError):
    """The broker cannot be reached, or cannot serve now. The operation was not done."""


class StoreUnavailable(BridgeError):
    """A database whose outbox is relayed cannot be reached, or cannot serve now. Its events stay there."""


class DeferError(BridgeError):
    """The base class of the errors of publishing, and of all errors that `defer()` raises. Unless a subclass says
    otherwise, the event was not published."""


class InvalidName(DeferError):
    """The event name breaks the grammar of names."""


class InvalidPayload(DeferError):
    """The payload cannot be written as JSON."""


class TooLarge(DeferError):
    """The data is larger than `max_body`, or larger than the broker accepts."""


class Unroutable(DeferError):
    """No queue takes an event of this name. The event was not published."""


class DeferUnavailable(DeferError, BrokerUnavailable):
    """`defer()` could not reach the broker within `publish_timeout`. The event was not published."""


class DeferUnconfirmed(DeferError):
    """The broker did not confirm the event within `publish_timeout`. The event may have been published and may run."""

    def __init__(self, event_id: str, message: str) -> None:
        super().__init__(message)
        self.event_id = event_id


class DuplicateEvent(DeferError):
    """An event of the same name and key was deferred within the time that it asked for. This one was not published.
    `event_id` is the id of the first one."""

    def __init__(self, event_id: str, message: str) -> None:
        super().__init__(message)
        self.event_id = event_id


class NotAllDeferred(DeferError):
    """`defer_many()` could not defer all of its events.

    `ids` has an item for each event, in order: its id, or None if the event was not deferred. `errors` has the error of
    each of those, by its number from 0. An event whose error is a `DeferUnconfirmed` may run.
    """

    def __init__(self, ids: Sequence[str | None], errors: Mapping[int, DeferError]) -> None:
        first = min(errors)
        super().__init__(f"{len(errors)} of {len(ids)} events were not deferred; event {first}: {errors[first]}")
        self.ids = tuple(ids)
        self.errors = dict(errors)


class PartlyRejected(DeferUnconfirmed):
    """One of the event's queues rejected the event, for instance because it is full. The other queues have it or may
    have it."""


class DeferForbidden(DeferError):
    """The broker does not permit this user to publish the event. The message has the broker's own words. The event was
    not published."""


class DeferRejected(DeferError):
    """The broker rejected the event, because a queue or the disk is full. The event was not published."""


class MailboxEmpty(BridgeError):
    """No message came to the mailbox within the timeout."""


class EventFailed(AssertionError):
    """An event that a test of the app replayed was not delivered: a listener failed, rejected it or asked for a retry,
    or the app answered in the receiver's place. It is no error of the bridge. `outcomes` are those of all events."""

    def __init__(self, message: str, outcomes: Sequence[object]) -> None:
        super().__init__(message)
        self.outcomes = tuple(outcomes)


class CallError(BridgeError):
    """The base class of the errors of a call that got no answer. A wrong name or payload raises the errors of
    `defer()`."""


class NobodyServes(CallError):
    """No worker takes calls of this name now, or the app of the workers has no listener for it. Nothing ran."""


class CallUnavailable(CallError, BrokerUnavailable):
    """The broker could not be reached within the timeout of the call, or refuses this client. Nothing ran."""


class CallTimedOut(CallError):
    """No answer came within the timeout. A listener may have run, and a later answer is dropped."""


class CallLost(CallTimedOut):
    """No answer can come any more, because the worker or the connection to the broker was lost. A listener may have
    run."""


class CallRejected(CallError):
    """The listener raised `Reject`. The message is its reason."""


class CallFailed(CallError):
    """The app failed with the call: a listener raised, its process ended, or its result could not be written.

    `type` is the name of the app's exception type, such as `ValueError` or `shop.mail.SmtpDown`, or a lower-case word
    of the bridge, such as `crash`. `message` and `traceback` are those of the exception; `traceback` is None if there
    is none.
    """

    def __init__(self, type: str, message: str, traceback: str | None = None) -> None:
        super().__init__(f"{type}: {message}" + ("" if traceback is None else f"\n\n{traceback.rstrip()}"))
        self.type = type
        self.message = message
        self.traceback = traceback
