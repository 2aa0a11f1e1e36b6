"""Examines the ledger of dead letters on RabbitMQ. It is read through the local index; nothing on the broker changes.
SQLite's ledger is a table that the examination of the file has read already.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from bridge.brokers.any_broker.ledger_findings import of_ledger
from bridge.brokers.contract.findings import Finding, counted, ok, some, unknown, wrong
from bridge.brokers.opening import open_broker
from bridge.config.settings import Settings
from bridge.config.sqlite_url import is_sqlite
from bridge.errors import BridgeError
from bridge.ledger import Dead, open_letters

READ_SECONDS = 8.0
"""A long ledger takes longer the first time. The index keeps what has been read."""


async def examine(settings: Settings) -> list[Finding]:
    """Read the whole ledger, for at most some 8 s, and judge who can have written it."""
    values, keys = settings.values, settings.ledger_keys()
    if is_sqlite(values.broker_url):
        return []
    broker = open_broker(values.broker_url, values.namespace, declare=False, tls=settings.tls(), keys=keys)
    try:
        async with asyncio.timeout(READ_SECONDS):
            entries = [entry async for entry in broker.ledger().entries()]
    except (BridgeError, TimeoutError) as error:
        why = str(error) or f"it was not read within {READ_SECONDS:g} s"
        step = "bridge-dlq list, as a user who may read the ledger; bridge-doctor --permissions worker has that right"
        return [unknown("ledger", why, step)]
    finally:
        await broker.close()
    unproven = [letter for letter in open_letters(entries).values() if not letter.believed]
    return [*of_ledger(entries, datetime.now(UTC)), signatures(unproven, signed=bool(keys))]


def signatures(unproven: Sequence[Dead], *, signed: bool) -> Finding:
    """Judge whether letters and decisions are signed. `unproven` are the open letters that are not believed."""
    if not signed:
        return ok("ledger", "not signed: who may publish to its exchange can forge letters and decisions (ledger_key)")
    if unproven:
        numbers = some([str(letter.number) for letter in unproven])
        letters = counted(len(unproven), "open letter")
        step = "bridge-dlq show NUMBER; give all workers the same ledger_key; discard what is forged"
        return wrong("ledger", f"{letters} without a valid signature, by number {numbers}", step)
    return ok("ledger", "letters and decisions are signed")
