"""The public names: `from deferred_event_bridge import DeferredEvents, Event, defer, Reject, Retry`.

The names are those of `app_adapter`, which is imported when a name is first used. If a module of the app hides one of
its packages, the import fails with a message that names the module.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from deferred_event_bridge.hidden_packages import IN_APP, check

if TYPE_CHECKING:
    from app_adapter import (
        AlreadyDone,
        BridgeError,
        BrokerUnavailable,
        CallError,
        CallFailed,
        CallLost,
        CallRejected,
        CallTimedOut,
        CallUnavailable,
        DeferError,
        DeferForbidden,
        Deferral,
        DeferredEvents,
        DeferRejected,
        DeferUnavailable,
        DeferUnconfirmed,
        DeliveryLost,
        DuplicateEvent,
        Event,
        EventFailed,
        EventLogger,
        Halt,
        InvalidName,
        InvalidPayload,
        MailboxEmpty,
        NobodyServes,
        NotAllDeferred,
        Reject,
        Retry,
        Snooze,
        TooLarge,
        Unroutable,
        event_begun,
        event_dead,
        event_deferred,
        event_ended,
        event_failed,
        moment_occurred,
        on,
    )
    from app_adapter.call import call
    from app_adapter.cancel import cancel
    from app_adapter.defer import defer, defer_many
    from app_adapter.mailbox import mailbox

__all__ = [
    "AlreadyDone",
    "BridgeError",
    "BrokerUnavailable",
    "CallError",
    "CallFailed",
    "CallLost",
    "CallRejected",
    "CallTimedOut",
    "CallUnavailable",
    "DeferError",
    "DeferForbidden",
    "DeferRejected",
    "DeferUnavailable",
    "DeferUnconfirmed",
    "Deferral",
    "DeferredEvents",
    "DeliveryLost",
    "DuplicateEvent",
    "Event",
    "EventFailed",
    "EventLogger",
    "Halt",
    "InvalidName",
    "InvalidPayload",
    "MailboxEmpty",
    "NobodyServes",
    "NotAllDeferred",
    "Reject",
    "Retry",
    "Snooze",
    "TooLarge",
    "Unroutable",
    "call",
    "cancel",
    "defer",
    "defer_many",
    "event_begun",
    "event_dead",
    "event_deferred",
    "event_ended",
    "event_failed",
    "mailbox",
    "moment_occurred",
    "on",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    check(IN_APP)
    value = globals()[name] = getattr(import_module("app_adapter"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
