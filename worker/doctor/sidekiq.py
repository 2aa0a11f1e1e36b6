"""The doctor's check of the queues of Sidekiq, from which `bridge-relay` takes jobs and to which `defer()`
publishes."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from bridge.brokers.contract.findings import Finding, counted, ok, some, unknown, wrong
from bridge.config.sidekiq_settings import SidekiqSettings
from bridge.config.store_settings import sidekiq_queues
from bridge.config.values import Values
from bridge.errors import SettingsError, StoreUnavailable
from bridge.publishing.sidekiq_queues import found_in

if TYPE_CHECKING:
    from bridge.publishing.sidekiq.summary import Found

LATE = timedelta(minutes=1)
"""If a relay runs and the broker can be reached, a job leaves the queue within seconds. A job that stays is for a
Sidekiq, which takes it within this time if it keeps up."""


async def examine(values: Values) -> Sequence[Finding]:
    """Judge each queue of Sidekiq in `[stores]`."""
    queues = sidekiq_queues(values.stores).items()
    judged = await asyncio.gather(*(_examine(name, queue, values) for name, queue in queues))
    return [finding for findings in judged for finding in findings]


async def _examine(name: str, queue: SidekiqSettings, values: Values) -> Sequence[Finding]:
    try:
        found = await found_in(queue, values)
    except SettingsError as error:
        return [unknown("sidekiq", f"{name}: {error}", "run bridge-doctor as the relay's user, with its installation")]
    except StoreUnavailable as error:
        return [wrong("sidekiq", f"{name}: {error}", "bridge-relay, and defer() with `to`, need this Redis")]
    if not queue.classes:
        return [ok("sidekiq", f"{name} answers; its jobs stay there, because it has no classes")]
    return judge(name, found, datetime.now(UTC))


def judge(name: str, found: "Found", now: datetime) -> Sequence[Finding]:
    """Judge the content of a queue."""
    findings = [_waiting(name, found, now)]
    if found.staying:
        findings.append(_staying(name, found, now))
    return findings


def _waiting(name: str, found: "Found", now: datetime) -> Finding:
    since = _age(found.oldest, now)
    sentence = f"{name} holds {counted(found.events, 'job')} for this site"
    if found.abandoned:
        ended = f"{sentence}; {found.abandoned} of them were with a relay that was killed"
        return wrong("sidekiq", ended, "start bridge-relay: it publishes them")
    if since < LATE:
        return ok("sidekiq", sentence)
    late = f"{sentence}, the oldest for {since.total_seconds():.0f} s"
    return wrong("sidekiq", late, "see the broker above; then start bridge-relay, and read its log")


def _staying(name: str, found: "Found", now: datetime) -> Finding:
    since = _age(found.stays_since, now)
    kinds = [f"{kind} ({count})" for kind, count in found.staying.items()]
    sentence = f"{name}: {some(kinds)} stay in Redis"
    if found.stays_since is not None and since < LATE:
        return ok("sidekiq", sentence)
    step = f"add the classes to [stores.{name}.classes], or run a Sidekiq that takes them; remove what is no job"
    return wrong("sidekiq", f"{sentence}, the oldest for {since.total_seconds():.0f} s" if since else sentence, step)


def _age(moment: datetime | None, now: datetime) -> timedelta:
    return timedelta() if moment is None else max(now - moment, timedelta())
