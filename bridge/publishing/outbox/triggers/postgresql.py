"""The statements of a trigger in PostgreSQL (13 or newer): one function and one trigger for all operations.

Values are written by `json` functions and not by `jsonb`, which refuses some texts: a trigger that fails would fail the
app's own statement.
"""

from bridge.publishing.outbox.triggers.trigger import Trigger, double_quoted, text
from bridge.publishing.outbox.triggers.watched_table import Column, Form, WatchedTable

_ISO = "'YYYY-MM-DD\"T\"HH24:MI:SS.US'"
_WHAT = "changed"


def statements(trigger: Trigger) -> list[str]:
    """Return the statements that make the trigger, or make it anew."""
    name, table = double_quoted(trigger.name(_WHAT)), _qualified(trigger.table.schema, trigger.table.name)
    operations = " OR ".join(operation.upper() for operation in trigger.operations)
    return [
        *drops(trigger),
        f"CREATE FUNCTION {_function(trigger)}() RETURNS trigger LANGUAGE plpgsql\n"
        f"SET search_path = pg_catalog, pg_temp AS {_dollar_quoted(_body(trigger))}",
        f"CREATE TRIGGER {name} AFTER {operations} ON {table}\nFOR EACH ROW EXECUTE FUNCTION {_function(trigger)}()",
    ]


def drops(trigger: Trigger) -> list[str]:
    """Return the statement that drops the trigger, if it is there."""
    return [f"DROP FUNCTION IF EXISTS {_function(trigger)}() CASCADE"]


def _body(trigger: Trigger) -> str:
    branches = "\n    ELSIF ".join(_branch(trigger, operation) for operation in trigger.operations)
    outbox = _qualified(trigger.table.outbox_schema, trigger.table.outbox)
    return f"""
DECLARE
    changed json;
    identity json;
    event_name text;
    record_key text;
    now_utc text := to_char(clock_timestamp() AT TIME ZONE 'UTC', {_ISO}) || 'Z';
BEGIN
    IF {branches}
    END IF;
    IF changed IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO {outbox} (name, event_key, head, data) VALUES (
        event_name,
        record_key,
        json_build_object(
            'v', 1, 'id', gen_random_uuid(), 'type', event_name, 'source', {text(trigger.source)}::text,
            'time', now_utc, 'datacontenttype', 'application/json', 'began', now_utc,
            'handling', json_build_object('key', record_key)
        )::text,
        convert_to(json_build_object('identity', identity, 'changed', changed)::text, 'UTF8')
    );
    RETURN NULL;
END
"""


def _branch(trigger: Trigger, operation: str) -> str:
    table, row = trigger.table, "OLD" if operation == "delete" else "NEW"
    return f"""TG_OP = {text(operation.upper())} THEN
        event_name := {text(trigger.event_name(operation))};
        identity := {_identity(table, row)};
        record_key := {_key(trigger, row)};
        changed := {_changed(table, operation)};"""


def _identity(table: WatchedTable, row: str) -> str:
    if not table.identity:
        return "'{}'"
    rows = ", ".join(f"({text(each.name)}, {_value(each, row)})" for each in table.identity)
    return f"(SELECT json_object_agg(c, v) FROM (VALUES {rows}) AS x (c, v))"


def _key(trigger: Trigger, row: str) -> str:
    if not trigger.table.identity:
        return "NULL"
    values = (f"{row}.{double_quoted(each.name)}::text" for each in trigger.table.identity)
    parts = (
        value if each.form is Form.INTEGER else f"md5({value})"
        for each, value in zip(trigger.table.identity, values, strict=True)
    )
    joined = ", ".join(parts)
    key = f"md5(concat_ws(' ', {joined}))" if trigger.has_long_keys else joined
    return f"concat_ws(' ', {text(trigger.word)}, {key})"


def _changed(table: WatchedTable, operation: str) -> str:
    rows = ",\n            ".join(_row(each, operation) for each in table.columns)
    return (
        f"(SELECT json_object_agg(c, v) FROM (VALUES\n            {rows}\n        ) AS x (c, v, differs) WHERE differs)"
    )


def _row(column: Column, operation: str) -> str:
    """Return the name of a column, its old and new values, and whether it has changed."""
    old, new = f"'old', {_value(column, 'OLD')}", f"'new', {_value(column, 'NEW')}"
    if operation != "update":
        return f"({text(column.name)}, json_build_object({old if operation == 'delete' else new}), true)"
    quoted = double_quoted(column.name)
    differs = f"OLD.{quoted}::text IS DISTINCT FROM NEW.{quoted}::text"  # some types have no equality
    return f"({text(column.name)}, json_build_object({old}, {new}), {differs})"


def _value(column: Column, row: str) -> str:
    value = f"{row}.{double_quoted(column.name)}"
    match column.form:
        case Form.DECIMAL:
            return _tagged("@decimal", f"{value}::text", f"{value} IS NOT NULL", "NULL")
        case Form.BYTES:
            return _tagged("@hex", f"encode({value}, 'hex')", f"{value} IS NOT NULL", "NULL")
        case Form.UUID:
            return _tagged("@uuid", f"{value}::text", f"{value} IS NOT NULL", "NULL")
        case Form.JSON:
            return _tagged("@json", f"{value}::text", f"json_typeof({value}::json) <> 'null'", "NULL")
        case Form.DATETIME:
            return _tagged("@datetime", f"to_char({value}, {_ISO})", _in_pythons_years(value), f"to_json({value})")
        case Form.DATETIME_UTC:
            utc = f"({value} AT TIME ZONE 'UTC')"
            iso = f"to_char({utc}, {_ISO}) || '+00:00'"
            return _tagged("@datetime", iso, _in_pythons_years(utc), f"to_json({value})")
        case Form.DATE:
            iso = f"to_char({value}, 'YYYY-MM-DD')"
            return _tagged("@date", iso, _in_pythons_years(value), f"to_json({value})")
        case Form.TIME:
            return _tagged("@time", f"{value}::text", f"{value}::text NOT LIKE '24:%'", f"to_json({value})")
        case _:
            return f"to_json({value})"


def _tagged(tag: str, value: str, condition: str, otherwise: str) -> str:
    return f"CASE WHEN {condition} THEN json_build_object('{tag}', {value}) ELSE {otherwise} END"


def _in_pythons_years(value: str) -> str:
    return f"isfinite({value}) AND extract(year FROM {value}) BETWEEN 1 AND 9999"


def _function(trigger: Trigger) -> str:
    return _qualified(trigger.table.outbox_schema, trigger.name(_WHAT))


def _qualified(schema: str | None, name: str) -> str:
    return double_quoted(name) if schema is None else f"{double_quoted(schema)}.{double_quoted(name)}"


def _dollar_quoted(body: str) -> str:
    """Return a body between two quotes that it does not have itself."""
    quote, number = "$body$", 0
    while quote in body:
        quote, number = f"$body{number}$", number + 1
    return f"{quote}{body}{quote}"
