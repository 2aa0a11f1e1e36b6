"""The groups of workers in the settings: which queues a worker serves, and the settings of its group. Pure.

Every program declares and publishes to all queues of the site; only a worker serves a part of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

from bridge.config.closest import closest
from bridge.config.settings import COMMAND_LINE, Settings
from bridge.config.values import WorkerGroupSettings
from bridge.errors import SettingsError
from bridge.queues import Queue

_OF_THE_GROUP_ALONE = ("app", "queues")


def group_named(settings: Settings, name: str) -> WorkerGroupSettings:
    """Return the table `[workers.name]`. Raise `SettingsError` if there is none."""
    groups = settings.values.workers
    if name not in groups:
        raise SettingsError(_unknown("--group", name, groups, f"a table [workers.{name}] in {_place(settings)}"))
    return groups[name]


def with_group(settings: Settings, name: str) -> Settings:
    """Return the settings with those of a group. The group was asked for by its name, so its settings are stronger than
    the environment and the rest of the file; only the command line is stronger. Raise `SettingsError`."""
    group = group_named(settings, name)
    own: dict[str, Any] = {
        field.name: value
        for field in fields(group)
        if field.name not in _OF_THE_GROUP_ALONE
        and (value := getattr(group, field.name)) is not None
        and settings.origins.get(field.name) != COMMAND_LINE
    }
    origins = {**settings.origins, **dict.fromkeys(own, f"[workers.{name}] in {settings.file}")}
    return replace(settings, values=replace(settings.values, **own), origins=origins)


def queues_of_worker(settings: Settings, named: Sequence[str], group: str | None) -> tuple[Queue, ...]:
    """Return the queues that a worker serves: those `named`, or those of its group, or all, in the order of the
    settings. Raise `SettingsError` for a name that no queue has."""
    queues = settings.queues()
    of_group = group_named(settings, group).queues if group is not None else ()
    asked = tuple(named) or of_group
    origin = "--queue" if named else f"[workers.{group}] queues"
    for name in asked:
        if name not in settings.values.queues:
            expected = f"a queue of {_place(settings)}"
            raise SettingsError(_unknown(origin, name, settings.values.queues, expected))
    return tuple(queue for queue in queues if not asked or queue.name in asked)


def groups_serving(settings: Settings, queue: str) -> list[str]:
    """Return the names of the groups that serve a queue."""
    return [name for name, group in settings.values.workers.items() if not group.queues or queue in group.queues]


def _unknown(origin: str, name: str, known: Iterable[str], expected: str) -> str:
    near = closest(name, known)
    meant = f" (did you mean {near}?)" if near is not None else ""
    names = ", ".join(known) or "none"
    return f"{origin} = {name!r}: expected {expected}{meant}; there are: {names}"


def _place(settings: Settings) -> str:
    return str(settings.file or "the settings, without a bridge.toml")
