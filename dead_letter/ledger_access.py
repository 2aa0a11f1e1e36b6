"""The ledger that the program works on, and command lines of this program for the same site."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bridge.brokers.contract.ledger import Ledger
from bridge.console.exit_codes import ExitCode
from bridge.console.program import Failure
from bridge.console.site_options import Site, existing_broker
from bridge.ledger import Letter
from dead_letter.choosing import History, find

PROGRAM = "bridge-dlq"


@asynccontextmanager
async def open_ledger(site: Site) -> AsyncIterator[tuple[Ledger, str]]:
    """Open the site's ledger, which must exist. Yield it with its description for people."""
    settings = site.settings()
    async with existing_broker(settings) as broker:
        yield broker.ledger(), f"{broker.name}, namespace {settings.values.namespace}"


async def read_one(site: Site, reference: str) -> tuple[History, Letter]:
    """Return the letter that a number or the end of an id names, whole. Raise `NotOneLetter` as `find` does, and
    `Failure` if the ledger no longer holds the letter."""
    async with open_ledger(site) as (ledger, _):
        history = (await find(ledger, [reference]))[reference]
        letter = await ledger.letter(history.letter.number)
    if letter is None:
        raise Failure(f"{reference}: the ledger no longer holds this letter", ExitCode.INCOMPLETE)
    return history, letter
