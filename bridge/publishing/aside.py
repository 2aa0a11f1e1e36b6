"""The stored events that this process cannot relay now. They stay in their store, and the others are relayed."""

import logging
import math
import time

from bridge.errors import BridgeError, DeferForbidden
from bridge.publishing.stores import Key, StoredEvent

FORBIDDEN_SECONDS = 60.0
"""Seconds until an event that the broker forbids this process to publish is tried again: an operator may permit it."""

log = logging.getLogger("bridge")


class Aside:
    """Events that are set aside, and until when. Each is logged once."""

    def __init__(self, store: str) -> None:
        self._store = store
        self._until: dict[Key, float] = {}

    def add(self, stored: StoredEvent, error: BridgeError) -> None:
        """Set an event aside because of this error: for `FORBIDDEN_SECONDS` if it is forbidden, else for as long as
        this process lives."""
        forbidden = isinstance(error, DeferForbidden)
        if stored.key not in self._until:
            again = f"is tried again every {FORBIDDEN_SECONDS:g} s" if forbidden else "this process cannot relay it"
            log.error("event %d of %s stays there; %s: %s", stored.number, self._store, again, error)
        self._until[stored.key] = time.monotonic() + FORBIDDEN_SECONDS if forbidden else math.inf

    def holds(self, key: Key) -> bool:
        """Return True if the event is set aside now."""
        return self._until.get(key, 0.0) > time.monotonic()

    def forget(self, key: Key) -> None:
        """Forget an event that was relayed."""
        self._until.pop(key, None)
