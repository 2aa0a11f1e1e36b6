"""The doctor's check of `[workers.…]`: each queue of the site is served by a group, and each group's queues exist."""

from collections.abc import Sequence

from bridge.brokers.contract.findings import Finding, ok, some, wrong
from bridge.config.settings import Settings
from bridge.config.worker_groups import groups_serving, queues_of_worker
from bridge.errors import SettingsError


def examine(settings: Settings) -> Sequence[Finding]:
    """Judge the groups of workers by the settings alone; no finding without a group."""
    groups = settings.values.workers
    if not groups:
        return []
    findings = [_judged(settings, name) for name in groups]
    if unserved := [name for name in settings.values.queues if not groups_serving(settings, name)]:
        step = f"add {some(unserved)} to the queues of a [workers.…] table, or start bridge-worker --queue for it"
        findings.append(wrong("groups", f"no group of workers serves queue {some(unserved)}", step))
    return findings


def _judged(settings: Settings, group: str) -> Finding:
    try:
        queues = queues_of_worker(settings, (), group)
    except SettingsError as error:
        return wrong("groups", str(error), f"correct [workers.{group}]")
    return ok("groups", f"group {group} serves {some([queue.name for queue in queues], 10)}")
