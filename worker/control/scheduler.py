"""The scheduler: publishes the events of the site's schedules.

Every worker of a site runs one. The worker that holds the claim publishes; the others try to get the claim. The holder
publishes the event of a moment first, and then appends to a log that the moment is decided. If it is killed in between,
the next holder publishes the event again with the same id.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any, NoReturn

from bridge.back_off import BackOff
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.claims import Claim, ClaimTaken
from bridge.brokers.contract.logs import Log
from bridge.brokers.contract.publishing import Publisher
from bridge.config.settings import Settings
from bridge.errors import BridgeError, BrokerRefused, BrokerUnavailable
from bridge.logger import log
from bridge.logs import AppendUnconfirmed
from bridge.moments import Deferred, Tell, tell_nobody
from bridge.schedule import CLAIM, CLOCK_ERROR, Decided, Schedule, begins_anew, due, read_record, record
from bridge.site_logs import SCHEDULES

LOOK_SECONDS = 1.0
"""The longest wait before the wall clock is read again: it may have been set."""

TRY_SECONDS = (1.0, 30.0)
"""The shortest and the longest wait before the next try to get the claim. In between, a worker tries to get it one
second after the next moment: a holder that is alive has published by then."""

DEFAULT_SOURCE = "bridge-worker"
"""The source of the events if the setting `source` has none."""

STATE_SECONDS = 86_400.0
"""Seconds between two appends of the whole state."""

_LEAST_SECONDS = 0.02
_AGAIN = BackOff(1.0, 30.0)
_SECOND = timedelta(seconds=1)


def _now() -> datetime:
    return datetime.now(UTC)


class Scheduler:
    """Publishes the events of the schedules while it holds the claim. `site` is the namespace, `source` the source of
    the events. `clock` returns the time in UTC."""

    def __init__(
        self,
        broker: Broker,
        schedules: Sequence[Schedule],
        *,
        site: str,
        source: str,
        tell: Tell = tell_nobody,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._broker = broker
        self._schedules = schedules
        self._site = site
        self._source = source
        self._tell = tell
        self._clock = clock
        self._trouble = ""

    async def run(self) -> NoReturn:
        """Try to get the claim, and publish while it is held. A failure is logged once, and all is tried again."""
        failures = 0
        while True:
            try:
                async with self._broker.claim(CLAIM) as claim:
                    log.info("this worker publishes the events of the schedules")
                    await self._until_lost(claim)
                    failures = 0
            except ClaimTaken:
                failures = 0
                await asyncio.sleep(self._until_next_try())
            except (BrokerUnavailable, BrokerRefused, AppendUnconfirmed) as error:
                failures += 1
                self._report(error)
                await asyncio.sleep(_AGAIN.wait(failures, random.random()))
            except Exception:
                failures += 1
                log.exception("internal error of the scheduler; the schedules are tried again")
                await asyncio.sleep(_AGAIN.wait(failures, random.random()))

    def _until_next_try(self) -> float:
        now, (least, most) = self._clock(), TRY_SECONDS
        moments = [moment for each in self._schedules if (moment := next(each.moments(now), None)) is not None]
        seconds = (min(moments) - now).total_seconds() + 1 if moments else most
        return min(max(seconds, least), most)

    async def _until_lost(self, claim: Claim) -> None:
        """Publish until the claim is lost."""
        publishing = asyncio.create_task(self._publish())
        lost = asyncio.create_task(claim.until_lost())
        try:
            await asyncio.wait((publishing, lost), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (publishing, lost):
                task.cancel()
            await asyncio.wait((publishing, lost))
        if not publishing.cancelled():
            publishing.result()
        log.info("this worker lost the claim of the schedules; another worker publishes their events")

    async def _publish(self) -> NoReturn:
        decided_log, publisher = self._broker.log(SCHEDULES.name, SCHEDULES.retention), self._broker.publisher()
        try:
            holder = _Holder(self._schedules, self._site, self._source, decided_log, publisher, self._tell)
            await holder.begin(self._clock())
            self._trouble = ""
            while True:
                await holder.publish_due(self._clock())
                await asyncio.sleep(min(holder.seconds_to_next(self._clock()), LOOK_SECONDS))
        finally:
            await publisher.close()
            await decided_log.close()

    def _report(self, error: BridgeError) -> None:
        if str(error) != self._trouble:
            self._trouble = str(error)
            log.warning("the schedules wait, and are tried again: %s", error)


class _Holder:
    """The schedules as the holder of the claim keeps them."""

    def __init__(
        self,
        schedules: Sequence[Schedule],
        site: str,
        source: str,
        decided_log: Log,
        publisher: Publisher,
        tell: Tell,
    ) -> None:
        self._schedules = schedules
        self._site = site
        self._source = source
        self._log = decided_log
        self._publisher = publisher
        self._tell = tell
        self._decided: dict[str, Decided] = {}
        self._next: dict[str, datetime | None] = {}
        self._refused: dict[str, tuple[int, datetime]] = {}
        """The schedules whose last event was refused: how often, and when it is tried again."""
        self._state_at = 0.0

    async def begin(self, now: datetime) -> None:
        """Read what is decided. A schedule that is new or has changed begins now."""
        found = await self._last_records()
        for schedule in self._schedules:
            before = found.get(schedule.name)
            if before is None or begins_anew(schedule, before, now):
                self._warn_of_clock(schedule, before, now)
                await self._decide(schedule, now)
            else:
                self._remember(schedule, before)
        await self._append_state()

    async def _last_records(self) -> dict[str, Decided]:
        """Return what is decided for each schedule, by its last record."""
        wanted = {schedule.name for schedule in self._schedules}
        found: dict[str, Decided] = {}
        async with aclosing(self._log.read_back()) as records:
            async for each in records:
                if (read := read_record(each.content)) is not None and read[0] in wanted:
                    name, decided = read
                    found[name] = decided
                    wanted.remove(name)
                if not wanted:
                    break
        return found

    async def publish_due(self, now: datetime) -> None:
        """Publish the events of all moments that are due. Raise `BrokerUnavailable` or `BrokerRefused`."""
        if asyncio.get_running_loop().time() - self._state_at > STATE_SECONDS:
            await self._append_state()
        for schedule in self._schedules:
            before = self._decided[schedule.name]
            if begins_anew(schedule, before, now):
                self._warn_of_clock(schedule, before, now)
                await self._decide(schedule, now)
            elif self._is_due(schedule, now):
                await self._publish_due_of(schedule, before, now)

    def seconds_to_next(self, now: datetime) -> float:
        """Return the seconds to the next moment of any schedule."""
        first = min((moment for moment in self._next.values() if moment is not None), default=None)
        return inf if first is None else max((first - now).total_seconds(), _LEAST_SECONDS)

    def _is_due(self, schedule: Schedule, now: datetime) -> bool:
        moment = self._next[schedule.name]
        _, again = self._refused.get(schedule.name, (0, now))
        return moment is not None and moment <= now and again <= now

    async def _publish_due_of(self, schedule: Schedule, before: Decided, now: datetime) -> None:
        found = due(schedule, before, now)
        if found.too_old is not None:
            log.warning(
                "schedule %s: the moments from %s on that are more than %s ago (catch_up) were missed; they do not run",
                *(schedule.name, found.too_old.isoformat(), schedule.catch_up),
            )
            await self._decide(schedule, now - schedule.catch_up)
        for moment in found.moments:
            if not await self._publish(schedule, moment, now):
                return
            await self._decide(schedule, moment)

    async def _publish(self, schedule: Schedule, moment: datetime, now: datetime) -> bool:
        """Publish the event of a moment. Return False if it was refused or not confirmed: it is tried again."""
        event = schedule.event_at(moment, self._site, self._source)
        began = asyncio.get_running_loop().time()
        try:
            await self._publisher.publish(event)
        except (BrokerUnavailable, BrokerRefused):
            raise
        except BridgeError as error:
            failures = self._refused.get(schedule.name, (0, now))[0] + 1
            self._refused[schedule.name] = (failures, now + _SECOND * _AGAIN.wait(failures, random.random()))
            log.error("schedule %s: the event of %s is not published: %s", schedule.name, moment.isoformat(), error)
            return False
        self._refused.pop(schedule.name, None)
        self._tell(Deferred(event, None, asyncio.get_running_loop().time() - began))
        log.info(
            "schedule %s: published %s for %s",
            *(schedule.name, schedule.event, moment.isoformat()),
            extra={"event": event.id, "late": round((now - moment).total_seconds(), 3)},
        )
        return True

    async def _decide(self, schedule: Schedule, through: datetime) -> None:
        decided = Decided(through, schedule.definition)
        await self._log.append(record(schedule.name, decided))
        self._remember(schedule, decided)

    def _remember(self, schedule: Schedule, decided: Decided) -> None:
        self._decided[schedule.name] = decided
        self._next[schedule.name] = next(schedule.moments(decided.through), None)

    async def _append_state(self) -> None:
        """Append the state of all schedules, so that the log can forget older records."""
        for name, decided in self._decided.items():
            await self._log.append(record(name, decided))
        self._state_at = asyncio.get_running_loop().time()

    def _warn_of_clock(self, schedule: Schedule, before: Decided | None, now: datetime) -> None:
        if before is not None and before.through - now > CLOCK_ERROR:
            log.warning(
                "schedule %s: the clock was at %s before and is at %s now; the schedule continues from now",
                *(schedule.name, before.through.isoformat(), now.isoformat()),
            )


def schedulers(broker: Broker, settings: Settings, tell: Tell) -> Sequence[Coroutine[Any, Any, NoReturn]]:
    """Return the running of the scheduler, if the site has schedules. Raise `SettingsError`."""
    schedules, values = settings.schedules(), settings.values
    if not schedules:
        return ()
    source = values.source or DEFAULT_SOURCE
    return (Scheduler(broker, schedules, site=values.namespace, source=source, tell=tell).run(),)
