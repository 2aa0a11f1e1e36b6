"""The app's side: `defer()`, listeners, and the server that receives replays. Used inside the app's processes."""

# ruff: noqa: E402  # the check comes before the first import of `bridge`
from deferred_event_bridge.hidden_packages import IN_APP, check

check(IN_APP)

from app_adapter.call import call
from app_adapter.cancel import cancel
from app_adapter.class_listeners import on
from app_adapter.defer import defer, defer_many
from app_adapter.deferral import Deferral
from app_adapter.event_logger import EventLogger
from app_adapter.extension import DeferredEvents
from app_adapter.listener_api import AlreadyDone, Event, Halt, Reject, Retry, Snooze
from app_adapter.mailbox import mailbox
from app_adapter.signals import (
    event_begun,
    event_dead,
    event_deferred,
    event_ended,
    event_failed,
    moment_occurred,
)
from bridge.errors import (
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
    DeferRejected,
    DeferUnavailable,
    DeferUnconfirmed,
    DeliveryLost,
    DuplicateEvent,
    EventFailed,
    InvalidName,
    InvalidPayload,
    MailboxEmpty,
    NobodyServes,
    NotAllDeferred,
    TooLarge,
    Unroutable,
)

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
