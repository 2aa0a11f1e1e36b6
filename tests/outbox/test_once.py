"""Listeners that run once: their effects in the database and their mark are one transaction."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, NullPool, create_engine, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from app_adapter import DeferredEvents, Event, Retry, on
from app_adapter.testing import RecordedEvent
from bridge.outcome import Failed, Outcome, Succeeded
from bridge.publishing.outbox.tables import tables
from tests.limits import PATIENCE

ONCE = tables("bridge").once


class Base(DeclarativeBase):
    """The app's own tables."""


class Greeting(Base):
    """An effect: one record for each time that a listener ran to its end."""

    __tablename__ = "greeting"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)


class AsyncShop(Flask):
    """An app that runs async functions without the extra of Flask for them."""

    def async_to_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: asyncio.run(func(*arguments))


@pytest.fixture
def app() -> Flask:
    """An app with events."""
    app = AsyncShop("shop")
    DeferredEvents(app)
    return app


@pytest.fixture
def events(app: Flask, engine: Engine) -> DeferredEvents:
    """The events of the app, whose database has its own tables too."""
    Base.metadata.create_all(engine)
    events: DeferredEvents = app.extensions["deferred_events"].events
    return events


def an_event(events: DeferredEvents) -> RecordedEvent:
    """Return an event that can be replayed, again and again."""
    with events.testing() as deferred:
        events.defer("account.created")
        return deferred[0]


def replay(event: RecordedEvent, times: int = 1) -> list[Outcome]:
    """Replay the event this many times; return the outcomes."""
    return [event.replay(check=False)[0] for _ in range(times)]


def effects(engine: Engine) -> int:
    """Return the number of committed effects."""
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(Greeting)).scalar_one()


def test_a_repeat_is_acknowledged_without_running(engine: Engine, events: DeferredEvents) -> None:
    """By `once=` of the decorator. Another event runs."""
    called = []

    @events.on("account.created", once=sessionmaker(engine))
    def greet(event: Event, session: Session) -> None:
        called.append(event.id)
        session.add(Greeting())

    first, second = an_event(events), an_event(events)

    assert [*replay(first, 3), *replay(second)] == [Succeeded()] * 4
    assert called == [first.id, second.id]
    assert effects(engine) == 2


def test_a_listener_that_failed_runs_again(engine: Engine, events: DeferredEvents) -> None:
    """Its effects and its mark are rolled back together, of `Retry` as of an error."""
    raising: list[Exception] = [ValueError("broken"), Retry(after=1)]

    @events.on("account.created", once=sessionmaker(engine))
    def greet(event: Event, session: Session) -> None:
        session.add(Greeting())
        session.flush()
        if raising:
            raise raising.pop()

    outcomes = replay(an_event(events), 4)

    assert [type(each) for each in outcomes] == [Failed, Failed, Succeeded, Succeeded]
    assert effects(engine) == 1


def test_a_call_in_the_listener_marks_the_session_that_it_is_given(engine: Engine, events: DeferredEvents) -> None:
    """`events.once(session)`. The next lines do not run in a repeat."""

    @events.on("account.created")
    def greet(event: Event) -> None:
        with Session(engine) as session, session.begin():
            events.once(session)
            session.add(Greeting())

    assert replay(an_event(events), 3) == [Succeeded()] * 3
    assert effects(engine) == 1


@pytest.mark.databases("postgres", "mariadb")
def test_a_repeat_at_the_same_time_waits(engine: Engine, events: DeferredEvents) -> None:
    """The first one commits while the second waits for its mark."""
    both = threading.Barrier(2, timeout=PATIENCE)

    @events.on("account.created")
    def greet(event: Event) -> None:
        both.wait()
        with Session(engine) as session, session.begin():
            events.once(session)
            session.add(Greeting())

    event = an_event(events)
    with ThreadPoolExecutor(2) as threads:
        outcomes = [each.result() for each in [threads.submit(replay, event) for _ in range(2)]]

    assert outcomes == [[Succeeded()]] * 2
    assert effects(engine) == 1


@pytest.mark.databases("sqlite")
def test_each_listener_has_a_mark_of_its_own(engine: Engine, events: DeferredEvents) -> None:
    """One that failed runs again, and the other does not."""
    broken = [ValueError("broken")]

    @events.on("account.created", once=sessionmaker(engine))
    def first(event: Event, session: Session) -> None:
        session.add(Greeting())

    @events.on("account.created", once=scoped_session(sessionmaker(engine)))
    def second(event: Event, session: Session) -> None:
        if broken:
            raise broken.pop()
        session.add(Greeting())

    assert isinstance(replay(event := an_event(events))[0], Failed)
    assert replay(event, 2) == [Succeeded()] * 2
    assert effects(engine) == 2


@pytest.mark.databases("sqlite")
def test_a_method_runs_once(engine: Engine, events: DeferredEvents) -> None:
    """Each method of a class has a mark and a session of its own. One with a plain `@on` runs again."""
    sessions, plain = sessionmaker(engine), list[str]()

    class Greetings:
        @on("account.created", once=sessions)
        def greet(self, event: Event, session: Session) -> None:
            session.add(Greeting())

        @on("account.created", once=sessions)
        async def greet_later(self, event: Event, session: Session) -> None:
            await asyncio.sleep(0)
            session.add(Greeting())

        @on("account.created")
        def count(self, event: Event) -> None:
            plain.append(event.id)

    events.register(Greetings)

    assert replay(an_event(events), 3) == [Succeeded()] * 3
    assert (effects(engine), len(plain)) == (2, 3)


@pytest.mark.databases("sqlite")
def test_a_method_that_takes_no_session_is_refused(engine: Engine, events: DeferredEvents) -> None:
    """When its class is registered."""

    class Greetings:
        @on("account.created", once=sessionmaker(engine))
        def greet(self, event: Event) -> None: ...

    with pytest.raises(TypeError, match=r"Greetings.greet': expected .* an event and a session"):
        events.register(Greetings)


@pytest.mark.databases("postgres")
def test_an_async_session(engine: Engine, url: str, events: DeferredEvents) -> None:
    """By the decorator, and by a call in the listener."""
    sessions = async_sessionmaker(create_async_engine(url, poolclass=NullPool))

    @events.on("account.created", once=sessions)
    async def by_decorator(event: Event, session: AsyncSession) -> None:
        await asyncio.sleep(0)
        session.add(Greeting())

    @events.on("account.created")
    async def by_call(event: Event) -> None:
        async with sessions() as session, session.begin():
            await events.once(session)
            session.add(Greeting())

    assert replay(an_event(events), 3) == [Succeeded()] * 3
    assert effects(engine) == 2


async def greet_later(session: AsyncSession) -> None:
    await asyncio.sleep(0)
    session.add(Greeting())


async def as_a_task(event: Event, session: AsyncSession) -> Any:
    return asyncio.ensure_future(greet_later(session))


def in_a_list(event: Event, session: AsyncSession) -> Any:
    return [greet_later(session)]


def on_a_thread(event: Event, session: AsyncSession) -> Any:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor() as pool:
        return pool.submit(lambda: asyncio.run_coroutine_threadsafe(greet_later(session), loop)).result()


@pytest.mark.databases("postgres")
@pytest.mark.parametrize("listener", [as_a_task, in_a_list, on_a_thread])
def test_work_that_a_listener_returns_is_in_the_transaction(
    engine: Engine, url: str, events: DeferredEvents, listener: Callable[[Event, AsyncSession], Any]
) -> None:
    """With an async session too: it has ended when the session is committed."""
    events.on("account.created", once=async_sessionmaker(create_async_engine(url, poolclass=NullPool)))(listener)

    assert replay(an_event(events), 2) == [Succeeded()] * 2
    assert effects(engine) == 1


async def fails(session: AsyncSession) -> None:
    await greet_later(session)
    await session.flush()
    raise ValueError("broken")


@pytest.mark.databases("postgres")
@pytest.mark.parametrize(
    "returned", [lambda session: [fails(session), greet_later(session)], lambda session: iter([1])]
)
def test_returned_work_that_fails_leaves_no_mark(
    engine: Engine, url: str, events: DeferredEvents, returned: Callable[[AsyncSession], Any]
) -> None:
    """Nor does work that nobody does, such as a generator: the listener runs again."""
    returns: list[Callable[[AsyncSession], Any]] = [greet_later, returned]

    @events.on("account.created", once=async_sessionmaker(create_async_engine(url, poolclass=NullPool)))
    def greet(event: Event, session: AsyncSession) -> Any:
        return returns.pop()(session)

    outcomes = replay(an_event(events), 3)

    assert [type(each) for each in outcomes] == [Failed, Succeeded, Succeeded]
    assert effects(engine) == 1


@pytest.mark.databases("sqlite")
def test_an_async_listener_with_a_plain_session(engine: Engine, events: DeferredEvents) -> None:
    """It has ended when the session is committed."""

    @events.on("account.created", once=sessionmaker(engine))
    async def greet(event: Event, session: Session) -> None:
        await asyncio.sleep(0)
        session.add(Greeting())

    assert replay(an_event(events), 2) == [Succeeded()] * 2
    assert effects(engine) == 1


@pytest.mark.databases("sqlite")
def test_a_second_call_in_one_transaction_fails(engine: Engine, events: DeferredEvents) -> None:
    """It must not count as a repeat, which would roll the effects back for good. After a rollback it is the first."""
    calls = [1, 2]

    @events.on("account.created")
    def greet(event: Event) -> None:
        with Session(engine) as session, session.begin():
            events.once(session)
            session.rollback()
        with Session(engine) as session, session.begin():
            for _ in range(calls.pop()):
                events.once(session)
            session.add(Greeting())

    failed, succeeded = replay(an_event(events), 2)

    assert isinstance(failed, Failed)
    assert failed.error is not None
    assert "events.once() was called twice" in failed.error.message
    assert succeeded == Succeeded()
    assert effects(engine) == 1


@pytest.mark.databases("sqlite")
def test_a_call_outside_a_listener_is_refused(engine: Engine, events: DeferredEvents) -> None:
    """There is no event to mark."""
    with Session(engine) as session, pytest.raises(RuntimeError, match="outside a listener"):
        events.once(session)


@pytest.mark.databases("sqlite")
def test_missing_tables_fail_the_listener(url: str, app: Flask) -> None:
    """It runs again when they are there."""
    events: DeferredEvents = app.extensions["deferred_events"].events

    @events.on("account.created", once=sessionmaker(create_engine(url)))
    def greet(event: Event, session: Session) -> None: ...

    (outcome,) = replay(an_event(events))

    assert isinstance(outcome, Failed)
    assert "bridge_once" in str(outcome.error)


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("once", [1, lambda required: None])
def test_what_makes_no_session_is_refused(engine: Engine, events: DeferredEvents, once: Any) -> None:
    """When the listener is registered, as is a listener that takes no session."""
    with pytest.raises(TypeError, match="expected a function that can be called with no argument"):
        events.on("account.created", once=once)(lambda event, session: None)
    with pytest.raises(TypeError, match="an event and a session"):
        events.on("account.created", once=sessionmaker(engine))(lambda event: None)
