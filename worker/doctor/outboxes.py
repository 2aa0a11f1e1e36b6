"""The doctor's check of the outboxes, where events wait for `bridge-relay`."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from bridge.brokers.contract.findings import Finding, counted, ok, unknown, wrong
from bridge.config.store_settings import StoreSettings, outboxes
from bridge.config.values import Values
from bridge.errors import SettingsError, StoreUnavailable
from bridge.publishing.outboxes import waiting_in
from bridge.publishing.stores import Waiting

LATE = timedelta(minutes=1)
"""If a relay runs and the broker can be reached, an event leaves the outbox within a second."""


async def examine(values: Values) -> Sequence[Finding]:
    """Judge each outbox of `[stores]`."""
    return await asyncio.gather(*(_examine(name, store, values) for name, store in outboxes(values.stores).items()))


async def _examine(name: str, store: StoreSettings, values: Values) -> Finding:
    try:
        return judge(name, await waiting_in(store, values.namespace), datetime.now(UTC))
    except SettingsError as error:
        return unknown("outbox", f"{name}: {error}", "run bridge-doctor as the relay's user, with its installation")
    except StoreUnavailable as error:
        return wrong("outbox", f"{name}: {error}", "defer() with a session and bridge-relay need this database")


def judge(name: str, found: Waiting, now: datetime) -> Finding:
    """Judge the content of an outbox."""
    if not found.events:
        return ok("outbox", f"{name} is empty")
    since = max(now - found.oldest, timedelta()) if found.oldest is not None else timedelta()
    sentence = f"{name} holds {counted(found.events, 'event')}, the oldest for {since.total_seconds():.0f} s"
    if since < LATE:
        return ok("outbox", sentence)
    return wrong("outbox", sentence, "see the broker above; then start bridge-relay, and read its log")
