"""The outboxes of `[stores]`, for programs that look at them. What needs SQLAlchemy is imported at the first use."""

import asyncio
from importlib import import_module
from typing import Any

from bridge.config.store_settings import NEEDS_SQLALCHEMY, StoreSettings
from bridge.errors import SettingsError, StoreUnavailable
from bridge.publishing.stores import Waiting

LOOK_SECONDS = 7.0
"""Seconds that a database has to be connected to and to answer."""


def of_outbox(module: str) -> Any:
    """Return a module of `bridge.publishing.outbox`. Raise `SettingsError` if SQLAlchemy 2 is not installed."""
    try:
        return import_module(f"bridge.publishing.outbox.{module}")
    except ImportError as error:
        raise SettingsError(f"{NEEDS_SQLALCHEMY}: {error}") from error


async def waiting_in(store: StoreSettings, namespace: str) -> Waiting:
    """Return what waits in the outbox of a store. Raise `StoreUnavailable` if the database does not answer, and
    `SettingsError` for settings that cannot be used on this machine."""
    module, looking = await asyncio.to_thread(lambda: (of_outbox("database"), of_outbox("store")))  # a long import
    database = module.Database(store.url_with_password())
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            waiting: Waiting = await database.run(looking.counting(namespace))
            return waiting
    except TimeoutError as error:
        raise StoreUnavailable(f"{database}: no answer within {LOOK_SECONDS:g} s") from error
    finally:
        await database.close()
