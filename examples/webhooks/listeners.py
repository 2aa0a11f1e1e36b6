"""The listeners of webhooks, which run later in the worker's processes: keep a digest, and forward the body downstream.

An event can be replayed more than once, so each listener checks the event's id first. If an event has several
listeners, the next attempt calls only those that have not finished.
"""

import hashlib
import time
import urllib.error
import urllib.request

from flask import current_app

from deferred_event_bridge import DeferredEvents, Event, Reject

from .database import database

FORWARD_SECONDS = 5.0
GONE = 410

events = DeferredEvents()


@events.on("hook.#", priority=10)
def keep_digest(event: Event) -> None:
    """Store a digest of the webhook. A repeated event finds its row there."""
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
    """Forward the body, byte for byte. If the downstream service is away or answers 5xx, raise, so that the event is
    retried."""
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
