"""`bridge-outbox trigger`: what any program writes to a table becomes events in the outbox."""

from decimal import Decimal

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from tests.outbox.trigger_programs import by_client, changes, committed, execute, install, raw, run

pytestmark = pytest.mark.usefixtures("store")


MAKE = {
    "postgres": 'CREATE TABLE article (id serial PRIMARY KEY, title text, "Price" numeric(20,2))',
    "mariadb": "CREATE TABLE article (id int AUTO_INCREMENT PRIMARY KEY, title text, `Price` decimal(20,2)) "
    "CHARACTER SET utf8mb4",
    "sqlite": 'CREATE TABLE article (id INTEGER PRIMARY KEY, title TEXT, "Price" NUMERIC)',
}


def test_inserts_updates_and_deletes_become_events(engine: Engine, kind: str) -> None:
    """With the old and new values of the columns that have changed, by type; a rollback takes them away."""
    execute(engine, MAKE[kind])
    install(engine, "article")
    execute(engine, "INSERT INTO article VALUES (1, :title, 9.9)", title="ü😀'\"\\\n")
    execute(engine, "UPDATE article SET title = NULL", "UPDATE article SET id = id" if kind != "mariadb" else "DO 0")
    execute(engine, "DELETE FROM article")
    with engine.connect() as connection:
        connection.execute(text("INSERT INTO article (title) VALUES ('x')"))
        connection.rollback()

    found = changes(engine)
    price = found[0][2]["Price"]["new"]
    assert price == Decimal("9.9")
    assert isinstance(price, Decimal)
    assert found == [
        *[("article.inserted", {"id": 1}, {"id": {"new": 1}, "title": {"new": "ü😀'\"\\\n"}, "Price": {"new": price}})],
        ("article.updated", {"id": 1}, {"title": {"old": "ü😀'\"\\\n", "new": None}}),
        ("article.deleted", {"id": 1}, {"id": {"old": 1}, "title": {"old": None}, "Price": {"old": price}}),
    ]
    assert [event.handling.key for event, _ in committed(engine)] == ["article 1"] * 3
    assert len({event.id for event, _ in committed(engine)}) == 3


HOSTILE = [
    "a b",
    "it's",
    'q"q',
    "b`b",
    "x;y--",
    "$body$ $$",
    "per%cent",
    "co:lon",
    "back\\slash",
    "ü😀",
    "SELECT",
    "{x}",
]


def test_hostile_identifiers(engine: Engine, kind: str) -> None:
    """Names of tables and columns are quoted, whatever is in them."""

    quote = engine.dialect.identifier_preparer.quote_identifier  # which doubles % where the driver needs that
    usable = [each for each in HOSTILE if "😀" not in each or kind != "mariadb"]  # MariaDB's names have no such
    for at, name in enumerate(usable):
        columns = ", ".join(f"{quote(column)} varchar(20)" for column in usable)
        table, key = quote(name), quote(name + "id")
        raw(engine, f"CREATE TABLE {table} ({key} int PRIMARY KEY, {columns})")
        install(engine, name, "--name", f"odd{at}")
        raw(engine, f"INSERT INTO {table} ({key}) VALUES ({at})", f"UPDATE {table} SET {table} = 'x'")

    found = changes(engine)
    assert [name for name, _, _ in found] == [
        f"odd{at}.{past}" for at in range(len(usable)) for past in ("inserted", "updated")
    ]
    assert [identity for _, identity, _ in found[::2]] == [{f"{name}id": at} for at, name in enumerate(usable)]
    assert [changed for _, _, changed in found[1::2]] == [{name: {"old": None, "new": "x"}} for name in usable]


def test_chosen_columns_and_operations(engine: Engine, kind: str) -> None:
    """An update of other columns makes no event, nor does another operation. What was printed last holds."""
    execute(engine, MAKE[kind])
    install(engine, "article")
    install(engine, "article", "--on", "update,delete", "--columns", "title", "--name", "post")
    execute(
        engine,
        "INSERT INTO article VALUES (1, 'a', 1)",
        *("UPDATE article SET id = 2", "UPDATE article SET title = 'A'", "DELETE FROM article"),
    )

    assert changes(engine) == [
        ("post.updated", {"id": 2}, {"title": {"old": "a", "new": "A"}}),
        ("post.deleted", {"id": 2}, {"title": {"old": "A"}}),
    ]


def test_dropped(engine: Engine, kind: str) -> None:
    """Nothing of the trigger is left; a second time too."""
    execute(engine, MAKE[kind])
    install(engine, "article")
    install(engine, "article", "--drop")
    install(engine, "article", "--drop")
    execute(engine, "INSERT INTO article VALUES (1, 'a', 1)", "DELETE FROM article")

    assert changes(engine) == []


def test_primary_keys(engine: Engine, kind: str) -> None:
    """Of several columns, changed, of texts that are too long for a key, and none."""
    text_type = "text" if kind == "postgres" else "varchar(500)"
    execute(
        engine,
        f"CREATE TABLE pair (l {text_type}, r int, note int, PRIMARY KEY (l, r))",
        "CREATE TABLE bare (note int)",
    )
    install(engine, "pair")
    install(engine, "bare")
    execute(
        engine,
        "INSERT INTO pair VALUES (:long, 1, 2)",
        *("UPDATE pair SET r = 3", "INSERT INTO bare VALUES (5)"),
        long="x" * 400 + "\n",
    )

    found = committed(engine)
    assert [(event.name, change.identity) for event, change in found] == [
        ("pair.inserted", {"l": "x" * 400 + "\n", "r": 1}),
        ("pair.updated", {"l": "x" * 400 + "\n", "r": 3}),
        ("bare.inserted", {}),
    ]
    assert found[1][1].changed == {"r": {"old": 1, "new": 3}}
    keys = [event.handling.key for event, _ in found]
    if kind == "sqlite":
        assert keys == [None] * 3
    else:
        assert [key if key is None else len(key) for key in keys] == [4 + 1 + 32 + 1 + 1] * 2 + [None]


def test_a_primary_key_that_is_too_long_for_a_key(engine: Engine, kind: str) -> None:
    """The event has a shorter one, and on SQLite none."""
    columns = [f"c{at}" for at in range(12)]
    listed = ", ".join(f"{column} varchar(20)" if at % 2 else f"{column} bigint" for at, column in enumerate(columns))
    execute(engine, f"CREATE TABLE long_key ({listed}, PRIMARY KEY ({', '.join(columns)}))")
    install(engine, "long_key", "--name", "w" * 100)
    values = ", ".join(f"'{'x' * 20}'" if at % 2 else str(-(2**63)) for at in range(12))
    execute(engine, f"INSERT INTO long_key VALUES ({values})")

    [(event, change)] = committed(engine)
    assert change.identity["c10"] == -(2**63)
    assert event.handling.key is None if kind == "sqlite" else len(event.handling.key) == 133


def test_many_columns_and_large_values(engine: Engine, kind: str) -> None:
    """More than a function takes arguments."""
    columns = ", ".join(f"c{at} int" for at in range(300))
    execute(
        engine, f"CREATE TABLE wide (id int PRIMARY KEY, {columns}, body {'longtext' if kind == 'mariadb' else 'text'})"
    )
    install(engine, "wide")
    execute(engine, "INSERT INTO wide (id, body) VALUES (1, :body)", body="ü" * 2**20)
    execute(engine, "UPDATE wide SET c299 = 1, c0 = 2", "DELETE FROM wide")

    [inserted, updated, deleted] = changes(engine)
    assert (len(inserted[2]), len(deleted[2])) == (302, 302)
    assert inserted[2]["body"]["new"] == "ü" * 2**20
    assert updated[2] == {"c0": {"old": None, "new": 2}, "c299": {"old": None, "new": 1}}


def test_records_of_sqlalchemy_have_their_own_ids(engine: Engine, kind: str) -> None:
    """And not those of the events that the trigger has written meanwhile."""
    execute(engine, MAKE[kind])
    install(engine, "article")

    class Base(DeclarativeBase):
        """The app's own tables."""

    class Article(Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]

    execute(engine, "INSERT INTO article (title) VALUES ('a')", "UPDATE article SET title = 'b'", "DELETE FROM article")
    with Session(engine) as session:
        articles = [Article(title=f"{at}") for at in range(3)]
        session.add_all(articles)
        session.flush()
        ids = {article.title: article.id for article in articles}
        session.commit()

    found = [(change.identity["id"], change.changed["title"]["new"]) for _, change in committed(engine)[-3:]]
    assert {title: number for number, title in found} == ids


@pytest.mark.databases("postgres")
def test_tables_of_one_name_have_a_trigger_each(engine: Engine) -> None:
    """In two schemas, and with the same letters in both names together."""
    execute(
        engine, "CREATE SCHEMA a", "CREATE TABLE a.b (id int)", "CREATE TABLE a_b (id int)", "CREATE TABLE b (id int)"
    )
    for table in ("a.b", "a_b", "b"):
        install(engine, table, "--name", table.replace(".", "-"))
    execute(engine, "INSERT INTO a.b VALUES (1)", "INSERT INTO a_b VALUES (1)", "INSERT INTO b VALUES (1)")
    install(engine, "a.b", "--drop")
    execute(engine, "INSERT INTO a.b VALUES (1)", "INSERT INTO a_b VALUES (1)")

    assert [name for name, _, _ in changes(engine)] == [f"{name}.inserted" for name in ("a-b", "a_b", "b", "a_b")]


@pytest.mark.databases("postgres")
def test_a_table_of_another_schema(engine: Engine) -> None:
    """And writers with another search path, who cannot put their own functions in the way."""
    execute(engine, "CREATE SCHEMA office", "CREATE TABLE office.article (id int PRIMARY KEY)")
    install(engine, "office.article")
    by_client(
        engine,
        "CREATE FUNCTION office.gen_random_uuid() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid';"
        "SET search_path = office, pg_catalog; INSERT INTO article VALUES (1);",
    )

    assert changes(engine) == [("article.inserted", {"id": 1}, {"id": {"new": 1}})]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nothing"], 2, "TABLE nothing: expected one of article\n"),
        (["article", "--columns", "title,nothing"], 2, "--columns nothing: expected some of id, title, Price"),
        (["article", "--columns", ","], 2, "expected names of columns"),
        (["article", "--on", "insert,truncate"], 2, "'insert,truncate': expected some of insert,update,delete"),
        (["article", "--on", ""], 2, "expected some of insert,update,delete"),
        (["article", "--name", "a b"], 2, "--name a b: expected a word"),
        (["article", "--name", "bridge"], 2, "--name bridge: expected a word"),
        (["bridge_outbox"], 2, "TABLE bridge_outbox: expected a table of the app"),
        (["article", "--store", "other"], 2, "--store other: expected one of shop"),
        (["a b"], 2, "--name a b: expected a word"),
        (
            ["article", "--name", "w" * 101],
            2,
            "for the names of the events, at most 100",
        ),
        (["article", "--namespace", "other"], 3, "no table 'other_outbox' in this database"),
    ],
)
@pytest.mark.databases("sqlite")
def test_wrong_usage(engine: Engine, kind: str, words: list[str], code: int, message: str) -> None:
    """The error has the option, the value and what was expected; nothing is printed."""
    execute(engine, MAKE[kind])
    result = run(*words)

    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr


@pytest.mark.databases("sqlite")
def test_a_database_without_a_table_of_the_app(engine: Engine) -> None:
    """The tables of the outbox are none that could be meant."""
    result = run("nothing")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith("expected a table of the app; this database has none\n")


@pytest.mark.databases("postgres", "mariadb")
def test_the_outbox_is_missing(url: str) -> None:
    """The error names the command that makes it."""
    result = run("article")

    assert result.exit_code == 3
    assert "no table 'bridge_outbox' in this database" in result.stderr
    assert "`bridge-outbox ddl` prints" in result.stderr
