"""A queue of an older bridge, from which a queue of the site takes its messages as events. The data of such an event is
the message's body, byte for byte. Only when its request is made is the body read. Pure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bridge.foreign_messages import cgi_bridge, fervo, mq2php
from bridge.foreign_messages.target import ForeignRequest, Target

Format = Literal["fervo", "mq2php", "amqp-cgi-bridge"]
"""FervoDeferredEventBundle, whose messages are lines of text; mq2php and its bundles, whose messages are JSON;
amqp-cgi-bridge, which takes any message."""

CONTENT_TYPES: Mapping[Format, str] = {
    "fervo": "text/x-fervo-deferred-event",
    "mq2php": "application/vnd.mq2php+json",
    "amqp-cgi-bridge": "application/vnd.amqp-cgi-bridge+json",
}
_REQUESTS: Mapping[Format, Callable[[bytes, str], ForeignRequest]] = {
    "fervo": fervo.request_of,
    "mq2php": mq2php.request_of,
    "amqp-cgi-bridge": cgi_bridge.request_of,
}
_FAILURES: Mapping[Format, Callable[[bytes, str, str, datetime], bytes]] = {
    "fervo": fervo.failure_of,
    "mq2php": mq2php.failure_of,
}


@dataclass(frozen=True, slots=True)
class ForeignSource:
    """The AMQP queue of an older bridge, the format of its messages, and the name of the events that they become.

    With `targets`, the program that a message names gets the request that the older bridge would have made, if it is
    one of them. Without, the messages are replayed as all events are. (A message for amqp-cgi-bridge names no program:
    that of the foreign pool gets its request.) With `errors`, a message that has failed for good
    is put into the older bridge's queue of errors too.
    """

    queue: str
    format: Format
    event: str
    targets: tuple[Target, ...] = ()
    errors: bool = False

    @property
    def content_type(self) -> str:
        """The content type of the events."""
        return CONTENT_TYPES[self.format]

    @property
    def asks(self) -> bool:
        """True if a program of a foreign pool gets the request of the older bridge."""
        return bool(self.targets) or self.format == "amqp-cgi-bridge"

    def data(self, properties: Mapping[str, object], headers: Mapping[str, object], body: bytes) -> bytes:
        """Return the data of the event that a message becomes."""
        return cgi_bridge.data_of(properties, headers, body) if self.format == "amqp-cgi-bridge" else body

    @property
    def error_queue(self) -> str:
        """The queue to which the older bridge's users subscribe for errors."""
        return f"{self.queue}_errors"

    def request(self, parameters: Mapping[str, str], data: bytes) -> tuple[dict[str, str], bytes]:
        """Return the parameters and the body of the request for the program that the message names, made from those of
        an ordinary replay. Raise `ValueError` for a message that cannot be read, or that names a program which is not
        among the targets."""
        asked = _REQUESTS[self.format](data, self.queue)
        own = {"CONTENT_TYPE": asked.content_type, "CONTENT_LENGTH": str(len(asked.body))}
        if asked.target is not None:
            if not any(target.allows(asked.target) for target in self.targets):
                raise ValueError(f"the message is for {asked.target}, which is not among foreign.targets of its queue")
            own["SCRIPT_FILENAME"] = asked.target.script
        return {**parameters, **asked.parameters, **own}, asked.body

    def failure(self, data: bytes, error: str, now: datetime) -> bytes:
        """Return a message that has failed as the older bridge puts it into its queue of errors. A message that cannot
        be read is unchanged."""
        try:
            return _FAILURES[self.format](data, self.queue, error, now)
        except ValueError:
            return data
