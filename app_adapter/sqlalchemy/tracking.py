"""Follows the flushes of all sessions: which records of tracked models they insert, update and delete.

The mapper's events note a record, and `after_flush` makes the changes of what was noted, when the database's defaults
are known and the old values are still there.
"""

import logging
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import event, inspect
from sqlalchemy import types as sqltypes
from sqlalchemy.orm import Mapper, ORMExecuteState, Session

from app_adapter.deferred_models.change import Change
from app_adapter.sqlalchemy.changes import (
    Before,
    Values,
    before_update,
    columns_of,
    deleted,
    identity_of,
    inserted,
    replaced,
    updated,
)
from bridge.errors import shown

INSERT, UPDATE, DELETE = "insert", "update", "delete"
PAST = {INSERT: "inserted", UPDATE: "updated", DELETE: "deleted"}

log = logging.getLogger("bridge")


@dataclass(frozen=True, slots=True)
class Tracked:
    """One operation on a model that is tracked. `columns` are the attributes that count, None: all."""

    model: type
    operation: str
    word: str
    columns: frozenset[str] | None

    @property
    def event_name(self) -> str:
        """The name of the events."""
        return f"{self.word}.{PAST[self.operation]}"


@dataclass(frozen=True, slots=True)
class RecordChange:
    """A record that a flush has changed."""

    tracked: Tracked
    change: Change


Defer = Callable[[Session, Sequence[RecordChange]], None]


class Tracking:
    """The models that one extension tracks. SQLAlchemy refers to it weakly, so it ends with the extension.

    `defer` defers the changes of a flush. `is_concerned` returns False if the current app has another extension.
    """

    def __init__(self, defer: Defer, is_concerned: Callable[[], bool]) -> None:
        self._defer = defer
        self._is_concerned = is_concerned
        self._tracked: dict[tuple[type, str], Tracked] = {}
        self._warned: set[tuple[type, str]] = set()

    def track(self, model: type, operations: Sequence[str], columns: frozenset[str] | None, word: str) -> None:
        """Track operations on a model. Doing it again with the same arguments changes nothing. Raise `TypeError` and
        `ValueError` for arguments that cannot be used."""
        mapper = mapper_of(model)
        if columns is not None and not columns:
            raise ValueError(f"track({model.__qualname__}, columns=…): expected at least one")
        for column in sorted(columns or ()):
            if column not in mapper.columns:
                known = ", ".join(mapper.columns.keys())
                raise ValueError(f"track({model.__qualname__}, columns={column!r:.100}): expected some of {known}")
        wanted = [Tracked(model, operation, word, columns) for operation in dict.fromkeys(operations)]
        for new in wanted:
            if new.operation not in PAST:
                got = shown(new.operation)
                raise ValueError(f"track({model.__qualname__}, {got}): expected insert, update or delete")
            if self._tracked.get((model, new.operation), new) != new:
                raise ValueError(
                    f"track({model.__qualname__}, {new.operation!r}): expected the same columns and name each time"
                )
        for new in wanted:
            if (model, new.operation) not in self._tracked:
                self._listen(new)

    def enums(self) -> Iterator[type[Enum]]:
        """Yield the enums of the columns of the tracked models and of their subclasses."""
        for model in {model for model, _ in self._tracked}:
            for mapper in mapper_of(model).self_and_descendants:
                for column in mapper.columns:
                    if isinstance(column.type, sqltypes.Enum) and column.type.enum_class is not None:
                        yield column.type.enum_class

    def _listen(self, new: Tracked) -> None:
        if not self._tracked:
            event.listen(Session, "do_orm_execute", _weak(self, Tracking._warn))
        self._tracked[new.model, new.operation] = new
        if new.operation == UPDATE:
            note = _weak(self, lambda tracking, _, connection, record: tracking._note_update(new, record))
            event.listen(new.model, "before_update", note, propagate=True)
        # A new record in the place of a deleted one has an `after_update`, and no `before_update`.
        note = _weak(self, lambda tracking, _, connection, record: tracking._note(new, record))
        event.listen(new.model, f"after_{new.operation}", note, propagate=True)

    def _note(self, tracked: Tracked, record: object) -> None:
        self._notes_of(record).add(_Note(tracked, record))

    def _note_update(self, tracked: Tracked, record: object) -> None:
        columns = columns_of(mapper_of(type(record)), None)
        self._notes_of(record).add(_Note(tracked, record, before_update(record, columns)))

    def _notes_of(self, record: object) -> "_Notes":
        session: Session = inspect(record).session
        notes: _Notes | None = session.info.get(self)
        if notes is None:
            notes = session.info[self] = _Notes(session, self._defer)
        return notes

    def _warn(self, executed: ORMExecuteState) -> None:
        """Log once for each model and operation that a statement for many rows makes no events."""
        operation = (
            INSERT if executed.is_insert else UPDATE if executed.is_update else DELETE if executed.is_delete else None
        )
        mapper = executed.bind_mapper
        if operation is None or mapper is None:
            return
        for tracked in self._tracked.values():
            key = (mapper.class_, operation)
            if tracked.operation == operation and issubclass(mapper.class_, tracked.model) and key not in self._warned:
                self._warned.add(key)
                log.warning(
                    "a statement with %s() of %s makes no event %r: only records that a session flushes make events; "
                    "this is logged once",
                    *(operation, mapper.class_.__qualname__, tracked.event_name),
                )


@dataclass(frozen=True, slots=True)
class _Note:
    tracked: Tracked
    record: object
    before: Before | None = None

    def change(self) -> RecordChange | None:
        """Return the change; None if no column that counts has changed."""
        columns = columns_of(mapper_of(type(self.record)), self.tracked.columns)
        values: Values | None
        if self.before is not None:
            values = updated(self.record, columns, self.before)
        elif self.tracked.operation == UPDATE:
            values = replaced(self.record, columns)
        else:
            values = (inserted if self.tracked.operation == INSERT else deleted)(self.record, columns)
        return None if values is None else RecordChange(self.tracked, Change(identity_of(self.record), values))


class _Notes:
    """The changes of the present flush of one session."""

    def __init__(self, session: Session, defer: Defer) -> None:
        self._noted: dict[tuple[int, Tracked], _Note] = {}
        self._defer = defer
        event.listen(session, "before_flush", self._forget)  # what a flush that failed has left
        event.listen(session, "after_flush", self._tell)

    def add(self, note: _Note) -> None:
        self._noted.setdefault((id(note.record), note.tracked), note)

    def _forget(self, session: Session, context: object, instances: object) -> None:
        self._noted = {}

    def _tell(self, session: Session, context: object) -> None:
        noted, self._noted = self._noted, {}
        changes = [change for note in noted.values() if (change := note.change()) is not None]
        if changes:
            self._defer(session, changes)


def mapper_of(model: object) -> Mapper[Any]:
    """Return the mapper of a model. Raise `TypeError` for anything else."""
    mapper = inspect(model, raiseerr=False) if isinstance(model, type) else None
    if not isinstance(mapper, Mapper):
        raise TypeError(f"{shown(model)}: expected a mapped class of SQLAlchemy")
    return mapper


def _weak(tracking: Tracking, call: Callable[..., None]) -> Callable[..., None]:
    """Return a function that calls `call` with the tracking, while it exists and is concerned, and the arguments."""
    refers = weakref.ref(tracking)

    def listener(*arguments: Any) -> None:
        if (tracking := refers()) is not None and tracking._is_concerned():
            call(tracking, *arguments)

    return listener
