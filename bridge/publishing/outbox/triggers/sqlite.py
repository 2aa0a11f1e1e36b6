"""The statements of a trigger in SQLite (3.38 or newer): one trigger for each operation.

A column of SQLite may hold values of any type, so each is written by the type that it has. Each value is made a text of
JSON, and `json()` reads it: `CASE` does not keep what is JSON and what is a text.
"""

from bridge.publishing.outbox.triggers.trigger import PAST, Trigger, double_quoted, text
from bridge.publishing.outbox.triggers.watched_table import Column, Form

_LARGEST = "1.7976931348623157e308"
_UUID = (
    "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || "
    "substr('89ab', 1 + abs(random() % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))"
)
_NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"


def statements(trigger: Trigger) -> list[str]:
    """Return the statements that make the triggers, or make them anew."""
    return [*drops(trigger), *(_created(trigger, operation) for operation in trigger.operations)]


def drops(trigger: Trigger) -> list[str]:
    """Return the statements that drop the triggers, those that are there."""
    return [f"DROP TRIGGER IF EXISTS {double_quoted(trigger.name(past))}" for past in PAST.values()]


def _created(trigger: Trigger, operation: str) -> str:
    table, row = trigger.table, "OLD" if operation == "delete" else "NEW"
    name, event_name = double_quoted(trigger.name(PAST[operation])), text(trigger.event_name(operation))
    key = _key(trigger, row)
    head = (
        f"json_object('v', 1, 'id', {_UUID}, 'type', {event_name}, 'source', {text(trigger.source)}, 'time', {_NOW}, "
        f"'datacontenttype', 'application/json', 'began', {_NOW}, 'handling', json_object('key', {key}))"
    )
    identity = _members([f"({text(each.name)}, 1, {_value(each, row)})" for each in table.identity])
    changed = _members([_row(each, operation) for each in table.columns])
    when = f"\nWHEN {' OR '.join(map(_differs, table.columns))}" if operation == "update" else ""
    return (
        f"CREATE TRIGGER {name} AFTER {operation.upper()} ON {double_quoted(table.name)} FOR EACH ROW{when}\nBEGIN\n"
        f"INSERT INTO {double_quoted(table.outbox)} (name, event_key, head, data)\n"
        f"VALUES ({event_name}, {key},\n{head},\n"
        f"CAST(json_object('identity', json({identity}), 'changed', json({changed})) AS BLOB));\nEND"
    )


def _members(rows: list[str]) -> str:
    if not rows:
        return "'{}'"
    listed = ",\n".join(rows)
    return f"(SELECT json_group_object(column1, json(column3)) FROM (VALUES\n{listed}) WHERE column2)"


def _row(column: Column, operation: str) -> str:
    """Return the name of a column, whether it has changed, and its old and new values."""
    old, new = f"'old', json({_value(column, 'OLD')})", f"'new', json({_value(column, 'NEW')})"
    if operation == "update":
        return f"({text(column.name)}, {_differs(column)}, json_object({old}, {new}))"
    return f"({text(column.name)}, 1, json_object({old if operation == 'delete' else new}))"


def _differs(column: Column) -> str:
    name = double_quoted(column.name)
    return f"(OLD.{name} COLLATE BINARY IS NOT NEW.{name} OR typeof(OLD.{name}) IS NOT typeof(NEW.{name}))"


def _key(trigger: Trigger, row: str) -> str:
    """Return the key of a row with numbers as its primary key. One relay reads a file in order, so others need none."""
    if not trigger.table.identity or trigger.has_long_keys:
        return "NULL"
    values = [f"{row}.{double_quoted(each.name)}" for each in trigger.table.identity]
    are_numbers = " AND ".join(f"typeof({value}) = 'integer'" for value in values)
    key = " || ' ' || ".join([text(trigger.word), *values])
    return f"CASE WHEN {are_numbers} THEN {key} END"


def _value(column: Column, row: str) -> str:
    """Return an expression for the text of a value in JSON."""
    value = f"{row}.{double_quoted(column.name)}"
    infinite = f"json_object('@float', CASE WHEN {value} > 0 THEN 'inf' ELSE '-inf' END)"
    return (
        f"CASE WHEN typeof({value}) = 'blob' THEN json_object('@hex', hex({value})) {_special(column.form, value)}"
        f"WHEN typeof({value}) = 'real' AND abs({value}) > {_LARGEST} THEN {infinite} ELSE json_quote({value}) END"
    )


def _special(form: Form, value: str) -> str:
    is_text, is_day = f"typeof({value}) = 'text'", f"date({value}, '+0 days') = substr({value}, 1, 10)"
    match form:
        case Form.BOOLEAN:
            return f"WHEN {value} = 1 THEN 'true' WHEN {value} = 0 THEN 'false' "
        case Form.DECIMAL:
            is_finite = f"typeof({value}) IN ('integer', 'real') AND abs({value}) <= {_LARGEST}"
            return f"WHEN {is_finite} THEN json_object('@decimal', CAST({value} AS TEXT)) "
        case Form.DATETIME | Form.DATETIME_UTC:
            return f"WHEN {is_text} AND {is_day} THEN json_object('@datetime', {value}) "
        case Form.DATE:
            return f"WHEN {is_text} AND {is_day} AND length({value}) = 10 THEN json_object('@date', {value}) "
        case Form.TIME:
            is_time = f"time({value}) = substr({value}, 1, 8)"
            return f"WHEN {is_text} AND {is_time} THEN json_object('@time', {value}) "
        case Form.JSON:
            is_null = f"WHEN {is_text} AND json_valid({value}) AND json_type({value}) = 'null' THEN 'null' "
            return f"{is_null}WHEN {is_text} AND json_valid({value}) THEN json_object('@json', {value}) "
        case _:
            return ""
