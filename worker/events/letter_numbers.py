"""Finds the numbers that letters have just got in the ledger. RabbitMQ confirms a letter without its number."""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import aclosing

from bridge.brokers.contract.ledger import Ledger
from bridge.errors import BridgeError
from bridge.internal_events import EventOfQueue
from bridge.ledger import Dead
from bridge.logger import log

LOOKED_BACK = 10_000
"""The number of entries among which letters are looked for, from the newest on."""

FOUND_WITHIN = 2.0
"""Seconds that the ledger may take."""


async def letter_numbers(ledger: Ledger, dead: Collection[EventOfQueue]) -> Mapping[EventOfQueue, int]:
    """Return the number of the newest letter of each of these events. A letter is left out if it is not among the last
    `LOOKED_BACK` entries, or if the ledger does not answer within `FOUND_WITHIN` seconds."""
    found: dict[EventOfQueue, int] = {}
    try:
        async with asyncio.timeout(FOUND_WITHIN):
            await _look_for(dead, ledger, found)
    except (BridgeError, TimeoutError) as error:
        why = str(error) or f"no answer within {FOUND_WITHIN:g} s"
        log.warning("internal events about dead letters are published without the letter's number: %s", why)
    except Exception:
        log.exception("internal error while looking up the numbers of letters; internal events have none")
    return found


async def _look_for(dead: Collection[EventOfQueue], ledger: Ledger, found: dict[EventOfQueue, int]) -> None:
    missing, left = set(dead), LOOKED_BACK
    if not missing:
        return
    async with aclosing(ledger.entries_back()) as entries:
        async for entry in entries:
            left -= 1
            if isinstance(entry, Dead) and entry.believed:
                of = EventOfQueue(entry.event_id, entry.queue)
                if of in missing:
                    found[of] = entry.number
                    missing.remove(of)
            if not missing or not left:
                return
