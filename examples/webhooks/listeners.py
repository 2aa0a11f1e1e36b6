"""What is done with each webhook, later and in the worker's processes: keep a digest, and forward it downstream.

An event can be replayed more than once, so each listener looks at the event's id first. Where several listeners take
one event, the next attempt calls only those that have not finished.
"""

import hashlib
import time
import urllib.error
import urllib.request

from flask import current_app

from app_adapter import DeferredEvents, Event, Reject

from .database import database

FORWARD_SECONDS = 5.0
GONE = 410

events = DeferredEvents()


@events.on("hook.#", priority=10)
def keep_digest(event: Event) -> None:
    """Note what came. Whoever comes twice finds the row there."""
    row = (
        event.id,
        event.name,
        event.payload["repository"]["full_name"],
        hashlib.sha256(event.data).hexdigest(),
        event.time.timestamp(),
        time.time(),
    )
    with database() as rows:
        rows.execute("INSERT INTO digests VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING", row)


@events.on("hook.#")
def forward(event: Event) -> None:
    """Send it on, byte for byte. A downstream that is away, or answers 5xx, raises: the event comes back later."""
    with database() as rows:
        if rows.execute("SELECT 1 FROM forwarded WHERE event_id = ?", (event.id,)).fetchone():
            return
    headers = {"Content-Type": event.content_type, "X-Event-Name": event.name, "Idempotency-Key": event.id}
    outgoing = urllib.request.Request(current_app.config["DOWNSTREAM"], event.data, headers, method="POST")
    try:
        urllib.request.urlopen(outgoing, timeout=FORWARD_SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == GONE:
            raise Reject(f"downstream does not want {event.name} any more") from error
        raise
    with database() as rows:
        rows.execute("INSERT INTO forwarded VALUES (?, ?) ON CONFLICT DO NOTHING", (event.id, event.attempt))
