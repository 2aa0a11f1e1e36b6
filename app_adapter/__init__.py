"""Everything inside the app's processes: `defer()`, listeners, and the server that replays come to."""

from app_adapter.defer import defer
from app_adapter.extension import DeferredEvents
from app_adapter.received import Event, Reject, Retry
from bridge.errors import (
    BrokerUnavailable,
    DeferError,
    DeferRejected,
    DeferUnconfirmed,
    InvalidName,
    InvalidPayload,
    TooLarge,
    Unroutable,
)

__all__ = [
    "BrokerUnavailable",
    "DeferError",
    "DeferRejected",
    "DeferUnconfirmed",
    "DeferredEvents",
    "Event",
    "InvalidName",
    "InvalidPayload",
    "Reject",
    "Retry",
    "TooLarge",
    "Unroutable",
    "defer",
]
