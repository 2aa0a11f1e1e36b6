"""The doctor's check of the schedules."""

from collections.abc import Sequence
from datetime import UTC, datetime

from bridge.brokers.contract.findings import Finding, ok, wrong
from bridge.config.settings import Settings
from bridge.errors import SettingsError


def examine(settings: Settings) -> Sequence[Finding]:
    """Return a finding for each schedule with its next moment; none without schedules."""
    try:
        found = settings.schedules()
    except SettingsError as error:
        return [wrong("schedules", str(error), "add the event to the patterns of a queue, or a queue 'default'")]
    now = datetime.now(UTC)
    return [
        ok(
            "schedules",
            f"{each.name} publishes {each.event}: {each.words}; next at {next(each.moments(now)):%F %T} UTC",
        )
        for each in found
    ]
