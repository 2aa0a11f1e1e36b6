"""What `bridge-status` says of the spool. It is read from its file, so that no worker need run for it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bridge.brokers.spool.reading import Spooled, spooled
from bridge.brokers.spool.spool_file import spool_file
from bridge.errors import BrokerRefused, BrokerUnavailable
from bridge.settings import Settings


def spool_status(settings: Settings) -> Mapping[str, Any] | None:
    """Return the spool's file, events, age of the oldest (seconds) and bytes, and what is the trouble with it; None
    where the site does not use it and nothing is in it. Like a worker it has slots: none."""
    file = spool_file(settings)
    if file is None:
        return None
    found, trouble = Spooled(), None
    try:
        found = spooled(file.path, file.namespace)
    except (BrokerUnavailable, BrokerRefused) as error:
        trouble = str(error)
    if settings.values.publish == "confirm" and not found.events and trouble is None:
        return None
    age = None if found.oldest is None else round((datetime.now(UTC) - found.oldest).total_seconds(), 1)
    return {
        "spool": str(file.path),
        "events": found.events,
        "oldest": age,
        "bytes": found.bytes,
        "trouble": trouble,
        "slots": [],
    }
