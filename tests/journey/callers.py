"""Callers for journeys: an app in this process that calls the listeners of a site's workers."""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from flask import Flask

from app_adapter import CallError, DeferredEvents
from tests.journey.site import Site
from tests.limits import PATIENCE


class CallingApp:
    """An app at the site. Its calls block, so each runs in a thread."""

    def __init__(self, site: Site) -> None:
        self._app = Flask("calling")  # the extension does not keep it alive
        self._app.config.update(BRIDGE_BROKER_URL=site.broker_url, BRIDGE_NAMESPACE=site.namespace)
        self._events = DeferredEvents(self._app)

    def call_now(self, name: str, payload: Any = None, timeout: float = PATIENCE) -> Any:
        """Call, and block."""
        return self._events.call(name, payload, timeout=timeout)

    async def call(self, name: str, payload: Any = None, timeout: float = PATIENCE) -> Any:
        """Call in a thread."""
        return await asyncio.to_thread(self.call_now, name, payload, timeout)

    async def until_served(self, within: float = PATIENCE) -> None:
        """Wait until a worker answers."""
        async with asyncio.timeout(within):
            while True:
                with suppress(CallError):
                    await self.call("nothing.answered", timeout=5.0)
                    return
                await asyncio.sleep(0.05)

    def storm(self, thread: int, calls: int, until: float = 0.0) -> Counter[str]:
        """Call many times, one after the other, each with a text of its own, at least until this monotonic time. Return
        how often each kind of result came."""
        results: Counter[str] = Counter()
        number = 0
        while number < calls or time.monotonic() < until:
            text, number = f"{thread}-{number}", number + 1
            try:
                answer = self.call_now("str.reverse", {"str": text})
            except CallError as error:
                results[type(error).__name__] += 1
            else:
                results["answered" if answer == text[::-1] else "wrong"] += 1
        return results
