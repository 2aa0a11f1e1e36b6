"""The ledger that the program works on, and command lines of this program for the same site."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bridge.brokers.contract.ledger import Ledger
from bridge.console.site_options import Site, existing_broker

PROGRAM = "bridge-dlq"


@asynccontextmanager
async def open_ledger(site: Site) -> AsyncIterator[tuple[Ledger, str]]:
    """Open the site's ledger, which must exist. Yield it with its description for people."""
    settings = site.settings()
    async with existing_broker(settings) as broker:
        yield broker.ledger(), f"{broker.name}, namespace {settings.values.namespace}"
