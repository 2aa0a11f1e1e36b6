"""The queues of Sidekiq in `[stores]`, for programs that look at them. What needs redis-py is imported at the first
use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bridge.config.sidekiq_settings import NEEDS_REDIS, SidekiqSettings
from bridge.errors import SettingsError

if TYPE_CHECKING:
    from bridge.config.values import Values
    from bridge.publishing.sidekiq.store import SidekiqStore
    from bridge.publishing.sidekiq.summary import Found


def of_sidekiq(module: str) -> Any:
    """Return a module of `bridge.publishing.sidekiq`. Raise `SettingsError` if redis-py is not installed."""
    try:
        return import_module(f"bridge.publishing.sidekiq.{module}")
    except ImportError as error:
        raise SettingsError(f"{NEEDS_REDIS}: {error}") from error


def sidekiq_store(queue: SidekiqSettings, values: "Values") -> "SidekiqStore":
    """Return the store of a queue. Raise `SettingsError` for settings that cannot be used on this machine."""
    store: SidekiqStore = of_sidekiq("store").SidekiqStore(queue, values.namespace, values.max_body)
    return store


async def found_in(queue: SidekiqSettings, values: "Values") -> "Found":
    """Return what waits in a queue, and what stays there. Raise `StoreUnavailable` if Redis does not answer, and
    `SettingsError` for settings that cannot be used on this machine."""
    store = sidekiq_store(queue, values)
    try:
        return await store.found()
    finally:
        await store.close()
