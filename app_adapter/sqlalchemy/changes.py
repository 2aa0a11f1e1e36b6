"""Reads from a record in a flush what changes in the database: without SQL, from what the session has in memory.

A value that the session does not know is left out: the old value of an attribute that was set before it was loaded, and
a new value that the database makes and does not return.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, ClauseElement, Column, inspect
from sqlalchemy.ext.mutable import MutableDict, MutableList, MutableSet
from sqlalchemy.orm import ColumnProperty, InstanceState, Mapper
from sqlalchemy.orm.attributes import History

Values = dict[str, dict[str, Any]]
"""For each changed attribute its values, under `old` and `new`."""

_UNKNOWN = object()


@dataclass(frozen=True, slots=True)
class Before:
    """A record just before its UPDATE: its loaded values, and the history of the attributes that were set."""

    values: Mapping[str, Any]
    histories: Mapping[str, History]


def columns_of(mapper: Mapper[Any], only: frozenset[str] | None) -> list[ColumnProperty[Any]]:
    """Return the attributes of a mapper that are columns, or those of `only`."""
    return [
        each
        for each in mapper.column_attrs
        if isinstance(each.columns[0], Column) and (only is None or each.key in only)
    ]


def before_update(record: object, columns: Iterable[ColumnProperty[Any]]) -> Before:
    """Return what a record is before its UPDATE."""
    state: InstanceState[Any] = inspect(record)
    histories = {each.key: state.attrs[each.key].history for each in columns}
    return Before(dict(state.dict), {key: each for key, each in histories.items() if each.has_changes()})


def inserted(record: object, columns: Iterable[ColumnProperty[Any]]) -> Values:
    """Return the values of a record after its INSERT."""
    loaded: Mapping[str, Any] = inspect(record).dict
    return _known((each, _UNKNOWN, loaded.get(each.key, _unset(each))) for each in columns)


def deleted(record: object, columns: Iterable[ColumnProperty[Any]]) -> Values:
    """Return the values that a record had in the database before its DELETE."""
    state: InstanceState[Any] = inspect(record)
    return _known((each, _committed(state, each.key), _UNKNOWN) for each in columns)


def replaced(record: object, columns: Iterable[ColumnProperty[Any]]) -> Values | None:
    """Return the new values of a record that has taken the row of another one with its primary key."""
    loaded: Mapping[str, Any] = inspect(record).dict
    changed = [(each, _UNKNOWN, loaded[each.key]) for each in columns if each.key in loaded and not _is_key(each)]
    return _known(changed) if changed else None


def updated(record: object, columns: Iterable[ColumnProperty[Any]], before: Before) -> Values | None:
    """Return the values of the columns that an UPDATE has changed, None if it changed none of them."""
    state: InstanceState[Any] = inspect(record)
    changed = [(each, *values) for each in columns if (values := _change(state, each, before)) is not None]
    return _known(changed) if changed else None


def identity_of(record: object) -> dict[str, Any]:
    """Return the primary key of a record that was flushed, by attribute, with the values that it has now."""
    state: InstanceState[Any] = inspect(record)
    attributes = [state.mapper.get_property_by_column(column).key for column in state.mapper.primary_key]
    known = state.identity or (None,) * len(attributes)
    return {key: state.dict.get(key, value) for key, value in zip(attributes, known, strict=True)}


def _change(state: InstanceState[Any], column: ColumnProperty[Any], before: Before) -> tuple[Any, Any] | None:
    """Return the old and the new value of a column, None if it was not changed."""
    key = column.key
    new = state.dict.get(key, _UNKNOWN)
    history = before.histories.get(key) or state.attrs[key].history  # the second one has a `post_update`
    if history.has_changes():
        was_removed = not history.added  # by `del record.attribute`
        return history.deleted[0] if history.deleted else _UNKNOWN, None if was_removed else new
    old = before.values.get(key, _UNKNOWN)
    if old is _UNKNOWN:
        is_made_by_update = column.columns[0].onupdate or column.columns[0].server_onupdate
        return (old, new) if is_made_by_update and new is not _UNKNOWN else None
    if old is new or (new is not _UNKNOWN and column.columns[0].type.compare_values(old, new)):  # NaN is not equal
        return None
    return old, new


def _is_key(column: ColumnProperty[Any]) -> bool:
    return any(isinstance(each, Column) and each.primary_key for each in column.columns)


def _unset(column: ColumnProperty[Any]) -> Any:
    """Return the value that an INSERT without this column gives it: None, unless the database makes it."""
    made = [each for each in column.columns if isinstance(each, Column) and (each.default or each.server_default)]
    return _UNKNOWN if made else None


def _committed(state: InstanceState[Any], key: str) -> Any:
    history = state.attrs[key].history
    if history.has_changes():
        return history.deleted[0] if history.deleted else _UNKNOWN
    return state.dict.get(key, _UNKNOWN)


def _known(values: Iterable[tuple[ColumnProperty[Any], Any, Any]]) -> Values:
    return {
        column.key: {
            word: _plain(value, column)
            for word, value in (("old", old), ("new", new))
            if value is not _UNKNOWN and not isinstance(value, ClauseElement)
        }
        for column, old, new in values
    }


def _plain(value: Any, column: ColumnProperty[Any]) -> Any:
    """Return the value without the classes by which SQLAlchemy notices changes within it."""
    if isinstance(value, MutableDict | MutableList | MutableSet) or isinstance(column.columns[0].type, JSON):
        return _without_subclasses(value)
    return value


def _without_subclasses(value: Any) -> Any:
    if value is JSON.NULL:
        return None
    if isinstance(value, dict):
        return {key: _without_subclasses(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_subclasses(each) for each in value]
    return set(value) if isinstance(value, set) else value
