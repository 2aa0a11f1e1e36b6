"""`events.track()`: what a session inserts, updates and deletes becomes events in the outbox, in its transaction."""

import asyncio
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import Engine, delete, event, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Session

from app_adapter import DeferError, DeferredEvents, InvalidPayload, TooLarge
from bridge.publishing.outbox.tables import tables
from tests.outbox.models import Article, Author, Base, Engineer, Manager, Pair, Person, Reading, Status

OUTBOX = tables("bridge").outbox


class Level(IntEnum):
    """Numbers that are more than numbers."""

    LOW = 1


@pytest.fixture
def app() -> Iterator[Flask]:
    """An app with events, in its context. What the extensions of other tests track does not concern it."""
    app = Flask("shop")
    DeferredEvents(app)
    with app.app_context():
        yield app


@pytest.fixture
def events(app: Flask) -> DeferredEvents:
    """The events of the app."""
    events: DeferredEvents = app.extensions["deferred_events"].events
    return events


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session on a database with the app's tables."""
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        yield session


def committed(engine: Engine) -> list[tuple[str, Any, Any]]:
    """Return of each event in the outbox its name, the identity and the changed values."""
    with engine.connect() as connection:
        rows = connection.execute(select(OUTBOX.c.name, OUTBOX.c.data).order_by(OUTBOX.c.number))
        payloads = [(row.name, json.loads(row.data)) for row in rows]
    return [(name, payload["identity"], payload["changed"]) for name, payload in payloads]


def test_a_record_is_inserted_updated_and_deleted(engine: Engine, session: Session, events: DeferredEvents) -> None:
    """Each makes an event with the identity, and the old and new values."""
    events.track(Pair, "insert", "update", "delete")
    pair = Pair(left="a", right=7, note=None)
    session.add(pair)
    session.commit()
    assert pair.note is None
    pair.note = "ü😀"
    session.commit()
    assert pair.right == 7
    session.delete(pair)
    session.commit()

    identity = {"left": "a", "right": 7}
    assert committed(engine) == [
        ("pair.inserted", identity, {"left": {"new": "a"}, "right": {"new": 7}, "note": {"new": None}}),
        ("pair.updated", identity, {"note": {"old": None, "new": "ü😀"}}),
        ("pair.deleted", identity, {"left": {"old": "a"}, "right": {"old": 7}, "note": {"old": "ü😀"}}),
    ]


@pytest.mark.databases("sqlite", "postgres")
def test_values_of_all_types_arrive_as_they_were(engine: Engine, session: Session, app: Flask) -> None:
    """In a listener, `change()` returns them: Decimal, datetime, UUID, enum, bytes and JSON with any keys."""
    events: DeferredEvents = app.extensions["deferred_events"].events
    events.track(Article, "insert")
    changes: list[Any] = []
    events.on("article.inserted")(lambda event: changes.append(events.change(event)))
    values = {
        "title": None,
        "views": 2**31 - 1,
        "made_at": datetime(2026, 1, 2, 3, 4, 5, 6),
        "price": Decimal("12345678901234567.90"),
        "status": Status.PUBLISHED,
        "uid": UUID(int=5),
        "data": {"@decimal": "x", "list": [1, {"ü": None}]},
        "raw": b"\0\xff",
    }
    with events.testing() as recorded:
        session.add(Article(id=17, **values))
        session.commit()
        recorded.replay()

    [change] = changes
    assert change.identity == {"id": 17}
    assert {key: each["new"] for key, each in change.changed.items() if key in values} == values
    assert type(change.changed["data"]["new"]) is dict


@pytest.mark.databases("sqlite")
def test_nothing_is_loaded(engine: Engine, session: Session, events: DeferredEvents) -> None:
    """A flush runs the same statements as without tracking. Values that the session does not know are left out."""
    statements = spy(engine)

    def work(number: int) -> list[str]:
        session.add(Article(id=number, title="a", body="long"))
        session.commit()
        article = session.get_one(Article, number)
        session.commit()
        statements.clear()
        article.title = "b"  # expired: not loaded
        article.views = Article.views + 1
        session.commit()
        session.delete(article)
        session.commit()
        return [each for each in statements if "bridge_outbox" not in each]

    untracked = work(2)
    events.track(Article, "insert", "update", "delete")
    assert work(1) == untracked

    [_, (_, identity, changed), (_, gone, was)] = committed(engine)
    assert (identity, gone) == ({"id": 1}, {"id": 1})
    assert changed == {"title": {"new": "b"}, "views": {}, "changed": {"new": 2}}
    assert was["title"] == {"old": "b"}
    assert was["body"] == {}


@pytest.mark.databases("sqlite", "postgres")
def test_values_that_are_made_in_the_flush(engine: Engine, session: Session, events: DeferredEvents) -> None:
    """Defaults of the server, as far as the INSERT returns them, and those of `onupdate`, with the old value."""
    events.track(Article, "insert", "update")
    article = Article(title="a")
    session.add(article)
    session.commit()
    assert article.title == "a"
    article.title = "b"
    session.commit()

    [(_, identity, new), (_, _, changed)] = committed(engine)
    assert identity == {"id": article.id}
    assert new["made_at"]["new"]["@datetime"].startswith("20")
    assert changed == {"title": {"old": "a", "new": "b"}, "changed": {"old": 1, "new": 2}}


@pytest.mark.databases("sqlite")
def test_an_update_that_changes_no_column_is_no_event(engine: Engine, session: Session, events: DeferredEvents) -> None:
    """Such as a value that is set to itself, and a list of other records."""
    events.track(Author, "update")
    author = Author(id=1, name="Ann")
    session.add(author)
    session.commit()
    assert author.name == "Ann"
    author.name = "Ann"
    author.articles.append(Article(title="a"))
    session.commit()

    assert committed(engine) == []


def test_foreign_keys_of_relationships(engine: Engine, session: Session, events: DeferredEvents) -> None:
    """They are columns, whichever end of the relationship was set, and with `post_update` too."""
    events.track(Article, "insert", "update", "delete", columns=[Article.author_id])
    events.track(Author, "update")
    author, other = Author(id=1, name="Ann"), Author(id=2, name="Bo")
    article = Article(id=1, author=author)
    session.add_all([author, other, article])
    session.commit()
    assert (article.author_id, author.name, other.name, author.favourite_id) == (1, "Ann", "Bo", None)
    other.articles.append(article)
    session.flush()
    author.favourite = article
    session.flush()
    author.favourite = None
    session.flush()
    other.articles.remove(article)  # an orphan is deleted
    session.commit()

    assert committed(engine) == [
        ("article.inserted", {"id": 1}, {"author_id": {"new": 1}}),
        ("article.updated", {"id": 1}, {"author_id": {"old": 1, "new": 2}}),
        ("author.updated", {"id": 1}, {"favourite_id": {"old": None, "new": 1}}),
        ("author.updated", {"id": 1}, {"favourite_id": {"old": 1, "new": None}}),
        ("article.deleted", {"id": 1}, {"author_id": {"old": 2}}),
    ]


@pytest.mark.databases("sqlite")
def test_chosen_columns(engine: Engine, session: Session, events: DeferredEvents) -> None:
    """An update of others makes no event, and the events have only these; the class has another name."""
    events.track(Article, "insert", "update", columns=["title", Article.price], name="post")
    article = Article(id=1, title="a")
    session.add(article)
    session.commit()
    article.views = 7
    session.commit()
    assert article.title == "a"
    article.title, article.views = "b", 8
    session.commit()

    assert committed(engine) == [
        ("post.inserted", {"id": 1}, {"title": {"new": "a"}, "price": {"new": None}}),
        ("post.updated", {"id": 1}, {"title": {"old": "a", "new": "b"}}),
    ]


@pytest.mark.databases("sqlite")
def test_inheritance(engine: Engine, session: Session, events: DeferredEvents) -> None:
    """Records of subclasses, in one table or two, are records of the model; a subclass may be tracked alone."""
    events.track(Person, "insert", "update")
    events.track(Engineer, "update", name="builder")
    session.add_all([Engineer(id=1, name="Ann", language="C"), Manager(id=2, name="Bo", level=3)])
    session.commit()
    ann, bo = session.get_one(Engineer, 1), session.get_one(Manager, 2)
    assert (ann.language, bo.level) == ("C", 3)
    ann.language, bo.level = "D", 4
    session.commit()

    found = committed(engine)
    assert [(name, changed["kind"]["new"]) for name, _, changed in found[:2]] == [
        ("person.inserted", "engineer"),
        ("person.inserted", "manager"),
    ]
    assert sorted(found[2:], key=str) == [
        ("builder.updated", {"id": 1}, {"language": {"old": "C", "new": "D"}}),
        ("person.updated", {"id": 1}, {"language": {"old": "C", "new": "D"}}),
        ("person.updated", {"id": 2}, {"level": {"old": 3, "new": 4}}),
    ]


@pytest.mark.databases("sqlite")
def test_json_that_was_changed_within(engine: Engine, session: Session, events: DeferredEvents) -> None:
    """The session knows the new value alone; of one that was replaced it knows both."""
    events.track(Article, "update", columns=["data"])
    article = Article(id=1, data={"a": [1]})
    session.add(article)
    session.commit()
    assert article.data == {"a": [1]}
    article.data["b"] = 2
    session.commit()
    assert article.data == {"a": [1], "b": 2}
    article.data = {"c": 3}
    session.commit()

    assert [changed for _, _, changed in committed(engine)] == [
        {"data": {"new": {"a": [1], "b": 2}}},
        {"data": {"old": {"a": [1], "b": 2}, "new": {"c": 3}}},
    ]


@pytest.mark.databases("sqlite")
def test_nan_is_no_change(engine: Engine, session: Session, events: DeferredEvents) -> None:
    """Though it is not equal to itself."""
    events.track(Reading, "update")
    with events.testing() as deferred:
        reading = Reading(id=1, value=float("inf"), note="a")
        session.add(reading)
        session.flush()
        reading.value, reading.note = float("nan"), "b"
        session.flush()
        reading.note = "c"
        session.flush()
        session.commit()

    assert [list(each.payload["changed"]) for each in deferred] == [["value", "note"], ["note"]]


@pytest.mark.databases("sqlite")
def test_a_new_primary_key(engine: Engine, session: Session, events: DeferredEvents) -> None:
    """The identity is the new one, and the old one is among the changed values."""
    events.track(Pair, "update")
    pair = Pair(left="a", right=1)
    session.add(pair)
    session.commit()
    assert pair.left == "a"
    pair.left = "b"
    session.commit()

    assert committed(engine) == [("pair.updated", {"left": "b", "right": 1}, {"left": {"old": "a", "new": "b"}})]


@pytest.mark.databases("sqlite")
def test_a_record_in_the_place_of_another(engine: Engine, session: Session, events: DeferredEvents) -> None:
    """SQLAlchemy updates the row, and so says the event; the old values are those of another record."""
    events.track(Pair, "insert", "update", "delete")
    pair = Pair(left="a", right=1, note="x")
    session.add(pair)
    session.flush()
    session.delete(pair)
    session.add(Pair(left="a", right=1, note="y"))
    session.commit()

    assert committed(engine)[1:] == [("pair.updated", {"left": "a", "right": 1}, {"note": {"new": "y"}})]


@pytest.mark.databases("sqlite")
def test_active_history(engine: Engine, session: Session, events: DeferredEvents) -> None:
    """A column that is mapped so has its old value after a commit too."""
    events.track(Reading, "update")
    reading = Reading(id=1, unit="m")
    session.add(reading)
    session.commit()
    reading.unit = "km"
    session.commit()

    assert committed(engine) == [("reading.updated", {"id": 1}, {"unit": {"old": "m", "new": "km"}})]


def test_flushes_and_savepoints(engine: Engine, session: Session, events: DeferredEvents) -> None:
    """Each flush makes its events; a savepoint takes its own away, and not those of the flush before it."""
    events.track(Pair, "insert", "update")
    first = Pair(left="a", right=1)
    session.add(first)
    with session.begin_nested() as savepoint:  # which flushes
        session.add(Pair(left="a", right=2))
        session.flush()
        first.note = "x"
        session.flush()
        savepoint.rollback()
    with session.begin_nested():
        session.add(Pair(left="a", right=3))
    first.note = "y"
    session.flush()
    first.note = "z"
    session.commit()
    session.add(Pair(left="a", right=4))
    session.flush()
    session.rollback()

    assert [(name, identity["right"]) for name, identity, _ in committed(engine)] == [
        *[("pair.inserted", 1), ("pair.inserted", 3), ("pair.updated", 1), ("pair.updated", 1)],
    ]


@pytest.mark.databases("sqlite")
def test_a_flush_that_fails_leaves_nothing(engine: Engine, session: Session, events: DeferredEvents) -> None:
    """What it had noted is not in the events of the next one."""
    events.track(Pair, "insert")
    session.add(Pair(left="a", right=1))
    session.commit()
    session.add_all([Pair(left="a", right=0), Article(id=1), Article(id=1)])
    with pytest.raises(IntegrityError):
        session.commit()
    session.rollback()
    session.add(Pair(left="a", right=2))
    session.commit()

    assert [identity["right"] for _, identity, _ in committed(engine)] == [1, 2]


@pytest.mark.databases("postgres", "mariadb")
def test_two_sessions(engine: Engine, session: Session, events: DeferredEvents) -> None:
    """Each has its own fate."""
    events.track(Pair, "insert")
    with Session(engine) as other:
        session.add(Pair(left="a", right=1))
        other.add(Pair(left="a", right=2))
        session.flush()
        other.flush()
        session.rollback()
        other.commit()

    assert [identity["right"] for _, identity, _ in committed(engine)] == [2]


@pytest.mark.databases("postgres")
async def test_an_async_session(engine: Engine, url: str, events: DeferredEvents) -> None:
    """Its flush makes events too, with an attribute that was not loaded."""
    await asyncio.to_thread(Base.metadata.create_all, engine)
    events.track(Pair, "insert", "update")
    asynchronous = create_async_engine(url)
    async with AsyncSession(asynchronous) as session:
        pair = Pair(left="a", right=1)
        session.add(pair)
        await session.commit()
        pair.note = "x"
        async with session.begin_nested():
            await session.flush()
        await session.commit()
    await asynchronous.dispose()

    found = await asyncio.to_thread(committed, engine)
    assert [(name, changed["note"]) for name, _, changed in found] == [
        ("pair.inserted", {"new": None}),
        ("pair.updated", {"new": "x"}),
    ]


@pytest.mark.databases("sqlite")
def test_events_of_a_record_have_a_key(engine: Engine, session: Session, events: DeferredEvents) -> None:
    """So relays publish them in order. A long or unprintable identity makes a key of a fixed length."""
    events.track(Pair, "insert")
    session.add_all([Pair(left="a", right=1), Pair(left="a\n", right=2), Pair(left="ü" * 300, right=3)])
    session.commit()
    with engine.connect() as connection:
        keys = connection.execute(select(OUTBOX.c.event_key).order_by(OUTBOX.c.number)).scalars().all()

    assert keys[0] == "pair a 1"
    assert [len(key) for key in keys[1:]] == [41, 41]


@pytest.mark.databases("sqlite")
def test_statements_for_many_rows_are_logged(
    engine: Engine, session: Session, events: DeferredEvents, caplog: pytest.LogCaptureFixture
) -> None:
    """They make no event. The log says so once for each model and operation."""
    caplog.set_level(logging.WARNING)
    events.track(Pair, "insert", "update", "delete")
    for _ in range(2):
        session.execute(insert(Pair), [{"left": "b", "right": 1}])
        session.execute(update(Pair).values(note="x"))
        session.execute(delete(Pair))
        session.execute(select(Pair))
        session.execute(delete(Article))
    session.commit()

    assert committed(engine) == []
    assert [record.message.split(" makes")[0] for record in caplog.records] == [
        f"a statement with {operation}() of Pair" for operation in ("insert", "update", "delete")
    ]


@pytest.mark.databases("sqlite")
def test_a_value_that_cannot_travel_fails_the_flush(engine: Engine, session: Session, events: DeferredEvents) -> None:
    """The error names the event, the column and what was expected, and nothing is written."""
    events.track(Article, "insert")
    session.add(Article(title="a", views=Level.LOW))
    with pytest.raises(InvalidPayload, match=r"article.inserted: the new value of views is of the type .*Level"):
        session.flush()
    session.rollback()

    assert committed(engine) == []


@pytest.mark.databases("sqlite")
def test_an_event_that_is_too_large_fails_the_flush(engine: Engine, session: Session) -> None:
    """As `defer()` would; with other columns the record can be written."""
    app = Flask("small")
    app.config["BRIDGE_MAX_BODY"] = 1000
    events = DeferredEvents(app)
    events.track(Article, "insert", columns=["title", "raw"])
    with app.app_context():
        session.add(Article(id=1, raw=b"x" * 1000))
        with pytest.raises(TooLarge, match=r"the data of 'article.inserted' is .*max_body"):
            session.flush()
        session.rollback()
        session.add(Article(id=1, data={"x": "x" * 1000}))
        session.commit()

    assert [identity for _, identity, _ in committed(engine)] == [{"id": 1}]


@pytest.mark.databases("postgres", "mariadb")
def test_many_threads(engine: Engine, session: Session, events: DeferredEvents, app: Flask) -> None:
    """Each with its session: half of them roll back."""
    events.track(Pair, "insert")

    def work(thread: int) -> None:
        with app.app_context():
            for number in range(20):
                with Session(engine) as own:
                    own.add(Pair(left=f"{thread}", right=number))
                    own.flush()
                    own.rollback() if number % 2 else own.commit()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))

    assert sorted((identity["left"], identity["right"]) for _, identity, _ in committed(engine)) == [
        (f"{thread}", number) for thread in range(8) for number in range(0, 20, 2)
    ]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((Pair,), ValueError, "expected some of 'insert'"),
        ((Pair, "upsert"), ValueError, "'upsert'.*expected insert, update or delete"),
        ((int, "insert"), TypeError, "<class 'int'>: expected a mapped class"),
        ((DeclarativeBase, "insert"), TypeError, "expected a mapped class"),
        ((Pair(), "insert"), TypeError, "expected a mapped class"),
    ],
)
def test_wrong_arguments(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    """The error has the model, the value and what was expected."""
    with pytest.raises(error, match=message):
        DeferredEvents(Flask("shop")).track(*arguments)


def test_wrong_columns_and_names(events: DeferredEvents) -> None:
    """A relationship is no column. A model has one name and the same columns each time."""
    with pytest.raises(ValueError, match=r"columns='author'\): expected some of id, title"):
        events.track(Article, "insert", columns=[Article.author])
    with pytest.raises(ValueError, match="expected at least one"):
        events.track(Article, "insert", columns=[])
    for name in ("a b", "", "a.b", "bridge"):
        with pytest.raises(ValueError, match=f"name '{name}': expected one word"):
            events.track(Pair, "insert", name=name)
    events.track(Pair, "insert")
    events.track(Pair, "insert")
    with pytest.raises(ValueError, match="expected the same columns and name"):
        events.track(Pair, "insert", columns=["left"])


@pytest.mark.databases("sqlite")
def test_the_extension_without_an_app(engine: Engine, session: Session) -> None:
    """A flush raises, because the event would be lost. The extension of another app does not concern the current."""
    events = DeferredEvents()
    events.track(Pair, "insert")
    session.add(Pair(left="a", right=1))
    with pytest.raises(DeferError, match="no app uses this DeferredEvents"):
        session.flush()
    session.rollback()
    other = Flask("other")
    DeferredEvents(other)
    with other.app_context():
        session.add(Pair(left="a", right=1))
        session.commit()

    assert committed(engine) == []


def spy(engine: Engine) -> list[str]:
    """Return a list to which each statement of the engine is added."""
    statements: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(" ".join(statement.split()))

    return statements
