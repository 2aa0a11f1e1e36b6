"""The changes in the outbox, as tests of model events compare them."""

import json
from typing import Any

from sqlalchemy import Engine, select

from bridge.publishing.outbox.tables import tables

OUTBOX = tables("bridge").outbox


def committed_changes(engine: Engine) -> list[tuple[str, Any, Any]]:
    """Return of each event in the outbox its name, the identity and the changed values."""
    with engine.connect() as connection:
        rows = connection.execute(select(OUTBOX.c.name, OUTBOX.c.data).order_by(OUTBOX.c.number))
        payloads = [(row.name, json.loads(row.data)) for row in rows]
    return [(name, payload["identity"], payload["changed"]) for name, payload in payloads]
