"""The errors that the actors share. Each says whose fault it is; a foreign exception is translated at the border."""


class BridgeError(Exception):
    """The root of everything that the bridge raises on purpose."""


class SettingsError(BridgeError):
    """A setting cannot be used. The message names the key, the value, what was expected and where it came from."""


class BrokerRefused(BridgeError):
    """The broker was reached and said no: credentials, permissions, or objects that exist with other arguments."""


class DeliveryLost(BridgeError):
    """The connection that brought a delivery is gone, so it can no longer be settled; the broker delivers it again."""


class UnreadableEnvelope(BridgeError):
    """An envelope in a form that this version does not know, or damaged. Nothing is lost: the bytes are kept."""


class PolicyError(BridgeError):
    """A retry policy raised, or answered something that is no decision. The event is retried by the default policy."""


class DeferError(BridgeError):
    """What `defer()` raises. Unless a subclass says otherwise, nothing was published."""


class InvalidName(DeferError):
    """The name of the event breaks the grammar."""


class InvalidPayload(DeferError):
    """The payload cannot be written as JSON."""


class TooLarge(DeferError):
    """The data is larger than `max_body`, or than the broker takes."""


class Unroutable(DeferError):
    """No queue takes this event."""


class BrokerUnavailable(DeferError):
    """The broker could not be reached within the budget. Nothing was published."""


class DeferUnconfirmed(DeferError):
    """The event was written and not confirmed within the budget: it may still run."""

    def __init__(self, event_id: str, message: str) -> None:
        super().__init__(message)
        self.event_id = event_id


class PartlyRejected(DeferUnconfirmed):
    """One of the event's queues does not take it (a full queue); the others have it, or may have."""


class DeferRejected(DeferError):
    """The broker answered that it does not take the event (a full queue, a full disk). Nothing was published."""
