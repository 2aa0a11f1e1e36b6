"""`events.track()`: what a session inserts, updates and deletes becomes events in the outbox, in its transaction."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Session

from app_adapter import DeferError, DeferredEvents
from bridge.publishing.outbox.tables import tables
from tests.outbox.committed import committed_changes
from tests.outbox.models import Article, Base, Engineer, Manager, Pair, Person

OUTBOX = tables("bridge").outbox


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
    assert committed_changes(engine) == [
        ("pair.inserted", identity, {"left": {"new": "a"}, "right": {"new": 7}, "note": {"new": None}}),
        ("pair.updated", identity, {"note": {"old": None, "new": "ü😀"}}),
        ("pair.deleted", identity, {"left": {"old": "a"}, "right": {"old": 7}, "note": {"old": "ü😀"}}),
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

    assert committed_changes(engine) == [
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

    found = committed_changes(engine)
    assert [(name, changed["kind"]["new"]) for name, _, changed in found[:2]] == [
        ("person.inserted", "engineer"),
        ("person.inserted", "manager"),
    ]
    assert sorted(found[2:], key=str) == [
        ("builder.updated", {"id": 1}, {"language": {"old": "C", "new": "D"}}),
        ("person.updated", {"id": 1}, {"language": {"old": "C", "new": "D"}}),
        ("person.updated", {"id": 2}, {"level": {"old": 3, "new": 4}}),
    ]


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

    assert [(name, identity["right"]) for name, identity, _ in committed_changes(engine)] == [
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

    assert [identity["right"] for _, identity, _ in committed_changes(engine)] == [1, 2]


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

    assert [identity["right"] for _, identity, _ in committed_changes(engine)] == [2]


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

    found = await asyncio.to_thread(committed_changes, engine)
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

    assert committed_changes(engine) == []
    assert [record.message.split(" makes")[0] for record in caplog.records] == [
        f"a statement with {operation}() of Pair" for operation in ("insert", "update", "delete")
    ]


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

    assert sorted((identity["left"], identity["right"]) for _, identity, _ in committed_changes(engine)) == [
        (f"{thread}", number) for thread in range(8) for number in range(0, 20, 2)
    ]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((Pair,), ValueError, "expected some of 'insert'"),
        ((Pair, "insert", "upsert"), ValueError, "'upsert'.*expected insert, update or delete"),
        ((int, "insert"), TypeError, "<class 'int'>: expected a mapped class"),
        ((DeclarativeBase, "insert"), TypeError, "expected a mapped class"),
        ((Pair(), "insert"), TypeError, "expected a mapped class"),
    ],
)
def test_wrong_arguments(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    """The error has the model, the value and what was expected, and nothing is tracked."""
    events = DeferredEvents(Flask("shop"))
    with pytest.raises(error, match=message):
        events.track(*arguments)
    events.track(Pair, "insert", name="other")


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

    assert committed_changes(engine) == []
