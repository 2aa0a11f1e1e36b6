"""The values that triggers write: of all types of each database, as Python has them."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from tests.outbox.trigger_programs import changes, execute, install, raw

pytestmark = pytest.mark.usefixtures("store")


TYPES: dict[str, list[tuple[str, str, Any]]] = {
    "postgres": [
        ("bigint", "9223372036854775807", 2**63 - 1),
        ("numeric", "12345678901234567890.123456789", Decimal("12345678901234567890.123456789")),
        ("numeric", "'NaN'", "NaN"),
        ("double precision", "0.1", 0.1),
        ("double precision", "'-Infinity'", "-Infinity"),
        ("boolean", "true", True),
        ("bytea", r"'\x00ff'", b"\0\xff"),
        ("bytea", "''", b""),
        ("timestamp", "'2026-01-02 03:04:05.000006'", datetime(2026, 1, 2, 3, 4, 5, 6)),
        ("timestamptz", "'2026-01-02 03:04:05+02'", datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("timestamp", "'infinity'", "infinity"),
        ("timestamptz", "'-infinity'", "-infinity"),
        ("timestamp", "'0044-03-15 12:00:00 BC'", "0044-03-15T12:00:00 BC"),
        ("date", "'2026-01-02'", date(2026, 1, 2)),
        ("date", "'99999-01-01'", "99999-01-01"),
        ("time", "'23:59:59.5'", time(23, 59, 59, 500_000)),
        ("time", "'24:00:00'", "24:00:00"),
        ("uuid", "'00000000-0000-0000-0000-000000000005'", UUID(int=5)),
        (
            "json",
            r"""'{"@decimal": "x", "a": "\u0000", "b": [1, null]}'""",
            {"@decimal": "x", "a": "\0", "b": [1, None]},
        ),
        ("jsonb", "'null'", "json null"),
        ("jsonb", "'[1, \"ü\"]'", [1, "ü"]),
        ("int[]", "'{1,2,NULL}'", [1, 2, None]),
        ("point", "'(1,2)'", "(1,2)"),
        ("xml", "'<a/>'", "<a/>"),
        ("inet", "'10.0.0.1'", "10.0.0.1"),
        ("interval", "'1 day'", "1 day"),
        ("money_of_shop", "7.50", Decimal("7.50")),
        ("mood", "'it''s'", "it's"),
    ],
    "mariadb": [
        ("bigint unsigned", "18446744073709551615", 2**64 - 1),
        ("decimal(38,9)", "12345678901234567890.123456789", Decimal("12345678901234567890.123456789")),
        ("double", "0.1", 0.1),
        ("boolean", "true", True),
        ("boolean", "7", 7),
        ("bit(10)", "b'1000000001'", 513),
        ("blob", "X'00FF'", b"\0\xff"),
        ("varbinary(9)", "''", b""),
        ("datetime(6)", "'2026-01-02 03:04:05.000006'", datetime(2026, 1, 2, 3, 4, 5, 6)),
        ("datetime", "'2026-00-00 00:00:00'", "2026-00-00 00:00:00"),
        ("date", "'2026-01-02'", date(2026, 1, 2)),
        ("date", "'0000-00-00'", "0000-00-00"),
        ("time(6)", "'23:59:59.5'", time(23, 59, 59, 500_000)),
        ("time", "'-100:00:00'", "-100:00:00"),
        ("uuid", "'00000000-0000-0000-0000-000000000005'", UUID(int=5)),
        ("json", """'{"@decimal": "x", "b": [1, null]}'""", {"@decimal": "x", "b": [1, None]}),
        ("json", "' null'", "json null"),
        ("year", "2026", 2026),
        ("enum('a','it''s')", "'it''s'", "it's"),
        ("varchar(20) character set latin1", "'ü'", "ü"),
    ],
    "sqlite": [
        ("INTEGER", "9223372036854775807", 2**63 - 1),
        ("NUMERIC", "9.5", Decimal("9.5")),
        ("NUMERIC", "'many'", "many"),
        ("REAL", "0.1", 0.1),
        ("REAL", "9e999", float("inf")),
        ("NUMERIC", "-9e999", float("-inf")),
        ("BOOLEAN", "1", True),
        ("BOOLEAN", "'maybe'", "maybe"),
        ("BLOB", "x'00FF'", b"\0\xff"),
        ("TEXT", "x'00FF'", b"\0\xff"),
        ("INTEGER", "'text'", "text"),
        ("DATETIME", "'2026-01-02 03:04:05.000006'", datetime(2026, 1, 2, 3, 4, 5, 6)),
        ("DATETIME", "'2026-02-30 03:04:05'", "2026-02-30 03:04:05"),
        ("DATETIME", "'tomorrow'", "tomorrow"),
        ("DATE", "'2026-01-02'", date(2026, 1, 2)),
        ("TIME", "'23:59:59.500000'", time(23, 59, 59, 500_000)),
        ("JSON", """'{"@decimal": "x", "b": [1, null]}'""", {"@decimal": "x", "b": [1, None]}),
        ("JSON", "' null'", "json null"),
        ("JSON", "'{broken'", "{broken"),
    ],
}


def test_values_of_all_types(engine: Engine, kind: str) -> None:
    """Arrive as Python has them, and as a text where it does not; NULL is None. No value fails the statement."""
    if kind == "postgres":
        execute(engine, "CREATE DOMAIN money_of_shop AS numeric", "CREATE TYPE mood AS ENUM ('it''s')")
    columns = [f"c{at}" for at in range(len(TYPES[kind]))]
    named = zip(columns, TYPES[kind], strict=True)
    listed = ", ".join(f"{column} {of_type}" for column, (of_type, _, _) in named)
    execute(engine, f"CREATE TABLE article (id int PRIMARY KEY, {listed})")
    install(engine, "article")
    literals = ", ".join(literal for _, literal, _ in TYPES[kind])
    loosely = ["SET sql_mode = ''"] if kind == "mariadb" else []
    raw(engine, *loosely, f"INSERT INTO article VALUES (1, {literals})", "INSERT INTO article (id) VALUES (2)")

    [(_, _, values), (_, _, nulls)] = changes(engine)
    expected = [value for _, _, value in TYPES[kind]]
    found = [values[column]["new"] for column in columns]
    assert [str(value) if value != value else value for value in found] == [
        None if value == "json null" else value for value in expected
    ]
    assert [type(value) for value in found if value is not None and value == value] == [
        type(value) for value in expected if value not in ("json null", "NaN")
    ]
    assert {nulls[column]["new"] for column in columns} == {None}
