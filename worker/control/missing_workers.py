"""The look for workers that have gone without a word, for the sites that ask for the event `bridge.worker.missing`.

One worker of the site looks: the one that holds the claim. A worker that is busy for a moment is not missing, so it
counts only if it is missing twice. A worker that takes over the claim may tell of the same worker again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from bridge.brokers.any_broker.roll_call import ask_site
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.claims import Claim, ClaimTaken
from bridge.config.settings import Settings
from bridge.console.site_options import existing_broker
from bridge.errors import BridgeError
from bridge.logger import log
from bridge.moments import Tell, WorkerMissing
from bridge.queues import route
from bridge.registry import SEEN_EVERY, Missing, Roll
from bridge.topics import WORKER_MISSING

CLAIM = "missing-workers"

LOOK_EVERY = 30.0
"""Seconds between two looks, and between two tries to get the claim."""

PATIENCE = 5.0
"""Seconds that a worker has for its answer: a busy one is not missing."""

CONFIRM_AFTER = 5.0
"""Seconds after which a missing worker is looked for once more."""

NEWS_FOR = timedelta(seconds=1.1 * SEEN_EVERY)
"""The age of its last record up to which a missing worker is news to a worker that has taken over the claim."""


class MissingWorkers:
    """Looks for missing workers while it holds the claim, and tells each once. `ask` returns who runs and who is
    missing, or raises `BridgeError`. `every` and `confirm_after` are in seconds."""

    def __init__(
        self,
        broker: Broker,
        tell: Tell,
        ask: Callable[[], Awaitable[Roll]],
        *,
        every: float = LOOK_EVERY,
        confirm_after: float = CONFIRM_AFTER,
    ) -> None:
        self._broker = broker
        self._tell = tell
        self._ask = ask
        self._every = every
        self._confirm_after = confirm_after
        self._known: frozenset[Missing] = frozenset()
        self._trouble = ""

    async def run(self) -> NoReturn:
        """Try to get the claim, and look while it is held. A failure is logged once, and all is tried again."""
        while True:
            try:
                async with self._broker.claim(CLAIM) as claim:
                    await self._look_while_held(claim)
            except ClaimTaken:
                pass
            except BridgeError as error:
                if str(error) != self._trouble:
                    self._trouble = str(error)
                    log.warning("missing workers are not looked for: %s; trying again", error)
            await asyncio.sleep(self._every)

    async def _look_while_held(self, claim: Claim) -> None:
        oldest = datetime.now(UTC) - NEWS_FOR
        # What this worker has told it tells no second time, also after it lost the claim because a look failed.
        self._known |= frozenset(each for each in await self._missing() if each.seen < oldest)
        while claim.held:
            new = await self._missing() - self._known
            if new:
                await asyncio.sleep(self._confirm_after)
                new &= await self._missing()
            for each in sorted(new, key=lambda each: (each.host, each.pid)):
                log.warning("a worker is missing: it has recorded no end and does not answer", extra=_fields(each))
                self._tell(WorkerMissing(each.host, each.pid, each.app, each.seen))
            self._known |= new
            await asyncio.sleep(self._every)

    async def _missing(self) -> frozenset[Missing]:
        return frozenset((await self._ask()).missing)


def _fields(missing: Missing) -> dict[str, Any]:
    return {"host": missing.host, "pid": missing.pid, "app": missing.app, "seen": missing.seen.isoformat()}


def looks_for_missing_workers(
    broker: Broker, settings: Settings, tell: Tell
) -> tuple[Coroutine[Any, Any, NoReturn], ...]:
    """Return the work of looking for missing workers; none if no queue of the site asks for them."""
    if not route(settings.queues(), WORKER_MISSING):
        return ()

    async def ask() -> Roll:
        async with existing_broker(settings) as asker:  # its connections are closed after each look
            return await ask_site(asker, PATIENCE)

    return (MissingWorkers(broker, tell, ask).run(),)
