"""`defer(…, session=s)`: an event is in the outbox exactly if the session's transaction was committed."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, create_engine, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from app_adapter import DeferError, Deferral, DeferredEvents, DuplicateEvent, InvalidName, InvalidPayload, Unroutable
from bridge.publishing.outbox.tables import tables
from bridge.publishing.stores import StoredEvent
from tests.limits import PATIENCE

OUTBOX, KEYS = tables("bridge").outbox, tables("bridge").keys


class Base(DeclarativeBase):
    """The app's own tables."""


class Account(Base):
    """A record of the app."""

    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def app() -> Flask:
    """An app with events."""
    app = Flask("shop")
    DeferredEvents(app)
    return app


@pytest.fixture
def events(app: Flask) -> DeferredEvents:
    """The events of the app."""
    events: DeferredEvents = app.extensions["deferred_events"].events
    return events


def committed(engine: Engine) -> list[Any]:
    """Return the payloads of the events in the outbox, in order."""
    with engine.connect() as connection:
        rows = connection.execute(select(OUTBOX.c.data).order_by(OUTBOX.c.number)).scalars()
        return [json.loads(data) for data in rows]


def test_an_event_is_deferred_with_the_commit(engine: Engine, events: DeferredEvents) -> None:
    """Together with the app's records, and not before."""
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Account(id=17))
        events.defer("account.created", 17, session=session)
        session.flush()
        seen = [] if engine.dialect.name == "sqlite" else committed(engine)  # SQLite's readers do not wait either
        session.commit()

    assert seen == []
    assert committed(engine) == [17]


def test_a_rollback_takes_the_event_away(engine: Engine, events: DeferredEvents) -> None:
    """By itself, by an exception, and by a session that is closed."""
    with Session(engine) as session:
        events.defer("a.b", 1, session=session)
        session.flush()
        session.rollback()
        events.defer("a.b", 2, session=session)
        session.commit()
        events.defer("a.b", 3, session=session)
    with pytest.raises(ZeroDivisionError), Session(engine) as session, session.begin():
        events.defer("a.b", 4, session=session)
        session.flush()
        raise ZeroDivisionError

    assert committed(engine) == [2]


def test_a_savepoint_that_is_rolled_back_takes_its_events_away(engine: Engine, events: DeferredEvents) -> None:
    """Those before it, after it, and of a savepoint that was released stay."""
    with Session(engine) as session, session.begin():
        events.defer("a.b", 1, session=session)
        with session.begin_nested():
            events.defer("a.b", 2, session=session)
        with session.begin_nested() as savepoint:
            events.defer("a.b", 3, session=session)
            with session.begin_nested():
                events.defer("a.b", 4, session=session)
            savepoint.rollback()
        events.defer("a.b", 5, session=session)

    assert committed(engine) == [1, 2, 5]


@pytest.mark.databases("postgres", "mariadb")
def test_two_sessions_have_a_fate_each(engine: Engine, events: DeferredEvents) -> None:
    """As in one request that writes an audit log and fails."""
    with Session(engine) as first, Session(engine) as second:
        events.defer("a.b", 1, session=first)
        events.defer("a.b", 2, session=second)
        first.rollback()
        second.commit()

    assert committed(engine) == [2]


def test_many_events_are_written_in_order(engine: Engine, events: DeferredEvents) -> None:
    """`defer_many` takes a session too, and one that is wrong writes nothing."""
    with Session(engine) as session:
        ids = events.defer_many([("a.b", number) for number in range(300)], session=session)
        with pytest.raises(InvalidName, match="event 1 of defer_many"):
            events.defer_many([("a.b", 1000), ("a b", 1001)], session=session)
        session.commit()

    assert committed(engine) == list(range(300))
    assert len(set(ids)) == 300


def test_what_is_written_is_the_event(engine: Engine, events: DeferredEvents) -> None:
    """With its id, due time and handling."""
    with Session(engine) as session:
        event_id = events.defer("order.paid", b"\0\xff", session=session, delay=60, key="order-17", priority="high")
        session.commit()
        row = session.execute(select(OUTBOX)).one()

    event, due = StoredEvent(row.number, row.head, row.data).read()
    assert (event.id, event.name, event.data, row.name, row.event_key) == (
        *(event_id, "order.paid", b"\0\xff", "order.paid", "order-17"),
    )
    assert due is not None
    assert timedelta(seconds=50) < due - datetime.now(UTC) <= timedelta(seconds=60)


def test_a_key_of_any_characters(engine: Engine, events: DeferredEvents) -> None:
    """In the head too, whatever character set the database has for other tables."""
    with Session(engine) as session:
        events.defer("order.paid", session=session, key="ü😀")
        session.commit()
        row = session.execute(select(OUTBOX)).one()

    event, _ = StoredEvent(row.number, row.head, row.data).read()
    assert (row.event_key, event.handling.key) == ("ü😀", "ü😀")


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"event_name": "no good"}, InvalidName),
        ({"event_name": "a.b", "payload": object()}, InvalidPayload),
        ({"event_name": "a.b", "retry": {"attempts": 0}}, DeferError),
        ({"event_name": "a.b", "within": "1m"}, DeferError),
    ],
)
def test_what_cannot_be_deferred_raises_at_once(
    engine: Engine, events: DeferredEvents, arguments: dict[str, Any], error: type[DeferError]
) -> None:
    """As without a session; the transaction can still be committed."""
    with Session(engine) as session:
        with pytest.raises(error):
            events.defer(**arguments, session=session)
        session.commit()

    assert committed(engine) == []


@pytest.mark.databases("sqlite")
def test_an_event_without_a_queue_raises_at_once(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the queues of the app's settings. A delayed one may find a queue later."""
    (tmp_path / "bridge.toml").write_text('[queues.mail]\npatterns = ["mail.#"]\n')
    monkeypatch.chdir(tmp_path)
    events = DeferredEvents(app := Flask("shop"))
    with app.app_context(), Session(engine) as session:
        with pytest.raises(Unroutable, match="no queue takes"):
            events.defer("a.b", session=session)
        events.defer("a.b", 1, session=session, delay=60)
        session.commit()

    assert committed(engine) == [1]


@pytest.mark.databases("sqlite")
def test_an_object_that_is_no_session_is_refused(engine: Engine, events: DeferredEvents) -> None:
    """The error has the object and what was expected."""
    with engine.connect() as connection, pytest.raises(DeferError, match="expected a Session or AsyncSession"):
        events.defer("a.b", session=connection)


@pytest.mark.databases("sqlite")
def test_a_scoped_session(engine: Engine, events: DeferredEvents) -> None:
    """Flask-SQLAlchemy's `db.session` is one."""
    session = scoped_session(sessionmaker(engine))
    events.defer("a.b", 1, session=session)
    session.commit()
    session.remove()

    assert committed(engine) == [1]


@pytest.mark.databases("postgres")
async def test_an_async_session(engine: Engine, url: str, events: DeferredEvents) -> None:
    """`defer()` does no I/O, so it need not be awaited."""
    asynchronous = create_async_engine(url)
    async with AsyncSession(asynchronous) as session:
        events.defer("a.b", 1, session=session)
        async with session.begin_nested() as savepoint:
            events.defer("a.b", 2, session=session)
            await savepoint.rollback()
        await session.commit()
        events.defer("a.b", 3, session=session)
    await asynchronous.dispose()

    assert await asyncio.to_thread(committed, engine) == [1]


@pytest.mark.databases("sqlite")
def test_missing_tables_are_an_error_of_the_flush(url: str, events: DeferredEvents) -> None:
    """The app's records are not committed without the event."""
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Account(id=17))
        events.defer("account.created", 17, session=session)
        with pytest.raises(Exception, match="bridge_outbox"):
            session.commit()
        session.rollback()
        assert session.execute(text("SELECT count(*) FROM account")).scalar_one() == 0
    engine.dispose()


@pytest.mark.databases("sqlite")
def test_a_test_records_the_event_at_the_commit(engine: Engine, events: DeferredEvents) -> None:
    """The tables of the outbox are not used. What is rolled back is not recorded."""
    with events.testing() as deferred, Session(engine) as session:
        events.defer("a.b", 1, session=session)
        with session.begin_nested():
            events.defer("a.b", 2, session=session)
        with session.begin_nested() as savepoint:
            with session.begin_nested():
                events.defer("a.b", 3, session=session)
            savepoint.rollback()
        before = len(deferred)
        session.commit()
        events.defer("a.b", 4, session=session)
        session.rollback()
        events.defer_many([("a.b", 5), Deferral("a.b", 6, delay=5)], session=session)
        session.commit()
        events.defer("a.b", 7, session=session)
        session.close()
        session.commit()

    assert before == 0
    assert [each.payload for each in deferred] == [1, 2, 5, 6]
    assert committed(engine) == []


@pytest.mark.databases("sqlite")
def test_an_app_with_testing_set_writes_nothing(engine: Engine, app: Flask, events: DeferredEvents) -> None:
    """As without a session: the error says how to record events."""
    app.testing = True
    with Session(engine) as session, pytest.raises(DeferError, match="has TESTING set"):
        events.defer("a.b", session=session)


ONCE_AN_HOUR: dict[str, Any] = {"key": "order-17", "within": "1h"}


def test_a_key_keeps_duplicates_out(engine: Engine, events: DeferredEvents) -> None:
    """Of the same name, while the first one holds the key, in this transaction and in later ones."""
    with Session(engine) as session:
        first = events.defer("a.b", 1, session=session, **ONCE_AN_HOUR)
        again = events.defer("a.b", 2, session=session, **ONCE_AN_HOUR)
        session.commit()
        many = [Deferral("a.b", 3, **ONCE_AN_HOUR), Deferral("a.c", 4, **ONCE_AN_HOUR)]
        ids = events.defer_many(many, session=session)
        with pytest.raises(DuplicateEvent) as raised:
            events.defer("a.b", 5, session=session, **ONCE_AN_HOUR, on_duplicate="raise")
        session.execute(update(KEYS).values(until=datetime(2020, 1, 1)))
        events.defer("a.b", 6, session=session, **ONCE_AN_HOUR)
        session.commit()

    assert (again, ids[0], raised.value.event_id) == (first, first, first)
    assert committed(engine) == [1, 4, 6]


def test_a_rollback_gives_the_key_back(engine: Engine, events: DeferredEvents) -> None:
    """Of the transaction, and of a savepoint."""
    with Session(engine) as session:
        events.defer("a.b", 1, session=session, **ONCE_AN_HOUR)
        session.rollback()
        with session.begin_nested() as savepoint:
            events.defer("a.b", 2, session=session, **ONCE_AN_HOUR)
            savepoint.rollback()
        events.defer("a.b", 3, session=session, **ONCE_AN_HOUR)
        session.commit()

    assert committed(engine) == [3]


@pytest.mark.databases("postgres", "mariadb")
@pytest.mark.parametrize("fate", ["commit", "rollback"])
def test_another_transaction_waits_for_the_key(engine: Engine, events: DeferredEvents, fate: str) -> None:
    """It has the key if the first one is rolled back, else the first one's id. Its snapshot may be older."""
    waiting = threading.Event()

    def other() -> str:
        with Session(engine) as session:
            session.execute(select(OUTBOX.c.number)).all()  # MariaDB's snapshot is made here
            waiting.set()
            event_id = events.defer("a.b", 2, session=session, **ONCE_AN_HOUR)
            session.commit()
            return event_id

    with Session(engine) as session, ThreadPoolExecutor(1) as thread:
        first = events.defer("a.b", 1, session=session, **ONCE_AN_HOUR)
        second = thread.submit(other)
        waiting.wait(PATIENCE)
        getattr(session, fate)()
        second_id = second.result(PATIENCE)

    assert (second_id == first) == (fate == "commit")
    assert committed(engine) == ([1] if fate == "commit" else [2])


@pytest.mark.databases("postgres")
async def test_a_key_with_an_async_session(engine: Engine, url: str, events: DeferredEvents) -> None:
    """The error says how to ask: with the plain session in `run_sync`."""
    asynchronous = create_async_engine(url)
    async with AsyncSession(asynchronous) as session:
        with pytest.raises(DeferError, match="an AsyncSession: expected a plain session"):
            events.defer("a.b", 1, session=session, **ONCE_AN_HOUR)
        first = await session.run_sync(lambda plain: events.defer("a.b", 2, session=plain, **ONCE_AN_HOUR))
        again = await session.run_sync(lambda plain: events.defer("a.b", 3, session=plain, **ONCE_AN_HOUR))
        await session.commit()
    await asynchronous.dispose()

    assert first == again
    assert await asyncio.to_thread(committed, engine) == [2]


@pytest.mark.databases("sqlite")
def test_a_test_keeps_duplicates_out_too(engine: Engine, events: DeferredEvents) -> None:
    """The recording knows the keys, without tables."""
    with events.testing() as deferred, Session(engine) as session:
        first = events.defer("a.b", 1, session=session, **ONCE_AN_HOUR)
        assert events.defer("a.b", 2, session=session, **ONCE_AN_HOUR) == first
        session.commit()

    assert [each.payload for each in deferred] == [1]
