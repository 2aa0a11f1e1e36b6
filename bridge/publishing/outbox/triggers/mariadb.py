"""The statements of a trigger in MariaDB (10.6 or newer) and MySQL (8): one trigger for each operation.

A body is one statement, so that clients need no other delimiter. What a function of JSON returns is a text again within
`IF`; `JSON_EXTRACT(…, '$')` makes it JSON.
"""

import re

from bridge.publishing.outbox.triggers.trigger import PAST, Trigger
from bridge.publishing.outbox.triggers.watched_table import Column, Form, WatchedTable

_SAFE = re.compile(r"[A-Za-z0-9_@.:%/ -]*")


def statements(trigger: Trigger) -> list[str]:
    """Return the statements that make the triggers, or make them anew."""
    return [*drops(trigger), *(_created(trigger, operation) for operation in trigger.operations)]


def drops(trigger: Trigger) -> list[str]:
    """Return the statements that drop the triggers, those that are there."""
    return [f"DROP TRIGGER IF EXISTS {_qualified(trigger.table.schema, trigger.name(past))}" for past in PAST.values()]


def _created(trigger: Trigger, operation: str) -> str:
    table, row = trigger.table, "OLD" if operation == "delete" else "NEW"
    event_name, key = _text(trigger.event_name(operation)), _key(trigger, row)
    now = f"DATE_FORMAT(UTC_TIMESTAMP(6), {_text('%Y-%m-%dT%H:%i:%s.%fZ')})"
    head = _object(
        {
            "v": "1",
            "id": "UUID()",
            "type": event_name,
            "source": _text(trigger.source),
            "time": now,
            "datacontenttype": _text("application/json"),
            "began": now,
            "handling": _object({"key": key}),
        }
    )
    identity = _object({each.name: _value(each, row) for each in table.identity})
    payload = _object({"identity": identity, "changed": _changed(table, operation)})
    when = f"\nFROM DUAL WHERE NOT ({_all_equal(table)})" if operation == "update" else ""
    return (
        f"CREATE TRIGGER {_qualified(table.schema, trigger.name(PAST[operation]))} AFTER {operation.upper()} "
        f"ON {_qualified(table.schema, table.name)} FOR EACH ROW\n"
        f"INSERT INTO {_qualified(table.outbox_schema, table.outbox)} (name, event_key, head, data)\n"
        f"SELECT {event_name}, {key},\n{head},\nCONVERT({payload} USING utf8mb4){when}"
    )


def _key(trigger: Trigger, row: str) -> str:
    if not trigger.table.identity:
        return "NULL"
    values = ((each, f"{row}.{_quoted(each.name)}") for each in trigger.table.identity)
    parts = (value if each.form is Form.INTEGER else f"MD5(CAST({value} AS BINARY))" for each, value in values)
    joined = ", ".join(parts)
    key = f"MD5(CONCAT_WS({_text(' ')}, {joined}))" if trigger.has_long_keys else joined
    return f"CONVERT(CONCAT_WS({_text(' ')}, {_text(trigger.word)}, {key}) USING utf8mb4)"


def _changed(table: WatchedTable, operation: str) -> str:
    if operation != "update":
        word, row = ("old", "OLD") if operation == "delete" else ("new", "NEW")
        return _object({each.name: _object({word: _value(each, row)}) for each in table.columns})
    parts = (
        f"IF({_is_equal(each)}, '{{}}', "
        f"{_object({each.name: _object({'old': _value(each, 'OLD'), 'new': _value(each, 'NEW')})})})"
        for each in table.columns
    )
    return "JSON_MERGE_PRESERVE('{}', " + ",\n".join(parts) + ")"


def _all_equal(table: WatchedTable) -> str:
    return " AND ".join(map(_is_equal, table.columns))


def _is_equal(column: Column) -> str:
    """Return a comparison byte for byte: a collation may hold `a` and `A` for equal."""
    old, new = (f"CAST({row}.{_quoted(column.name)} AS BINARY)" for row in ("OLD", "NEW"))
    return f"{old} <=> {new}"


def _value(column: Column, row: str) -> str:
    value = f"{row}.{_quoted(column.name)}"
    is_there = f"{value} IS NOT NULL"
    as_text = f"CAST({value} AS CHAR)"
    match column.form:
        case Form.BITS:
            return f"CAST({value} AS UNSIGNED)"
        case Form.BOOLEAN:
            return f"JSON_EXTRACT(CASE {value} WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE {value} END, '$')"
        case Form.DECIMAL:
            return _tagged("@decimal", as_text, is_there, "NULL")
        case Form.BYTES:
            return _tagged("@hex", f"HEX({value})", is_there, "NULL")
        case Form.UUID:
            return _tagged("@uuid", as_text, is_there, "NULL")
        case Form.JSON:
            return _tagged("@json", as_text, f"JSON_TYPE({value}) <> 'NULL'", "NULL")
        case Form.DATETIME | Form.DATETIME_UTC:
            iso = f"DATE_FORMAT({value}, {_text('%Y-%m-%dT%H:%i:%s.%f')})"
            return _tagged("@datetime", iso, _is_date(value), f"JSON_QUOTE({as_text})")
        case Form.DATE:
            iso = f"DATE_FORMAT({value}, {_text('%Y-%m-%d')})"
            return _tagged("@date", iso, _is_date(value), f"JSON_QUOTE({as_text})")
        case Form.TIME:
            iso = f"TIME_FORMAT({value}, {_text('%H:%i:%s.%f')})"
            of_a_day = f"{value} BETWEEN '00:00:00' AND '23:59:59.999999'"
            return _tagged("@time", iso, of_a_day, f"JSON_QUOTE({as_text})")
        case _:
            return value


def _is_date(value: str) -> str:
    """Return a condition that the zero dates of MariaDB do not meet."""
    return f"YEAR({value}) > 0 AND MONTH({value}) > 0 AND DAYOFMONTH({value}) > 0"


def _tagged(tag: str, value: str, condition: str, otherwise: str) -> str:
    return f"JSON_EXTRACT(IF({condition}, {_object({tag: value})}, {otherwise}), '$')"


def _object(members: dict[str, str]) -> str:
    return f"JSON_OBJECT({', '.join(f'{_text(name)}, {value}' for name, value in members.items())})"


def _qualified(schema: str | None, name: str) -> str:
    return _quoted(name) if schema is None else f"{_quoted(schema)}.{_quoted(name)}"


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _text(value: str) -> str:
    """Return a text, which means the same in each mode of SQL and each character set of the client."""
    return f"_utf8mb4'{value}'" if _SAFE.fullmatch(value) else f"CONVERT(X'{value.encode().hex()}' USING utf8mb4)"
