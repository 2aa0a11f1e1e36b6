"""The doctor's check of pauses: an event that waits behind a pause waits for a person."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bridge.brokers.contract.findings import Finding, ok, unknown, wrong
from bridge.brokers.opening import open_existing
from bridge.config.settings import Settings
from bridge.controls import Pause
from bridge.errors import BridgeError
from worker.control.controls_log import ControlsLog

READ_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Examined:
    """The findings, and the reason of each queue's pause."""

    findings: Sequence[Finding]
    by_queue: Mapping[str, str] = field(default_factory=dict)


async def examine(settings: Settings) -> Examined:
    """Read the controls of the site, for at most some 8 s."""
    values, keys = settings.values, settings.ledger_keys()
    try:
        broker = open_existing(values.broker_url, values.namespace, declare=False, tls=settings.tls(), keys=keys)
    except BridgeError:
        return Examined([])  # there is no SQLite file yet, and so no pause
    try:
        log = ControlsLog(broker, values.namespace, keys)
        async with asyncio.timeout(READ_SECONDS):
            await log.read()
    except (BridgeError, TimeoutError) as error:
        why = str(error) or f"the controls were not read within {READ_SECONDS:g} s"
        step = "bridge-queues list, as a user who may read the controls; bridge-doctor --permissions operator"
        return Examined([unknown("pauses", why, step)])
    finally:
        await broker.close()
    pauses = log.controls.pauses(datetime.now(UTC))
    findings = [*judge(pauses), *_ignored(log.controls.skipped + log.cancellations.skipped)]
    return Examined(findings, {pause.queue: pause.reason for pause in pauses if pause.queue is not None})


def judge(pauses: Iterable[Pause]) -> Sequence[Finding]:
    """Return a finding for each pause; a single one if nothing is paused."""
    found = [wrong("pauses", f"{pause.target} {pause.reason}", _resume(pause)) for pause in pauses]
    return found or [ok("pauses", "no queue is paused")]


def _resume(pause: Pause) -> str:
    if pause.queue is not None:
        return f"bridge-queues show {pause.queue}; bridge-queues resume {pause.queue}"
    return f"bridge-queues resume --events '{pause.events}'"


def _ignored(number: int) -> Sequence[Finding]:
    if not number:
        return []
    sentence = f"{number} pauses, resumes, purges or cancellations are damaged or not signed, and do not count"
    step = "give bridge-queues, bridge-events and the apps that cancel events the ledger_key of the workers"
    return [wrong("pauses", sentence, step)]
