"""The statements of a trigger, in the dialect of its database."""

from collections.abc import Mapping
from types import ModuleType

from bridge.publishing.outbox.triggers import mariadb, postgresql, sqlite
from bridge.publishing.outbox.triggers.trigger import Trigger

_DIALECTS: Mapping[str, ModuleType] = {
    "postgresql": postgresql,
    "mariadb": mariadb,
    "mysql": mariadb,
    "sqlite": sqlite,
}


def creating(trigger: Trigger, dialect: str) -> list[str]:
    """Return the statements that make a trigger, or make it anew, without semicolons at their ends."""
    made: list[str] = _DIALECTS[dialect].statements(trigger)
    return made


def dropping(trigger: Trigger, dialect: str) -> list[str]:
    """Return the statements that drop a trigger, if it is there."""
    made: list[str] = _DIALECTS[dialect].drops(trigger)
    return made
