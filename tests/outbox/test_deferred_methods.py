"""`article.deferred.publish()`: methods of records and of models run in the pool, in a transaction of their own."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import Engine, Integer, NullPool, String, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, object_session, scoped_session, sessionmaker

from app_adapter import CallFailed, CallRejected, DeferError, DeferredEvents, InvalidPayload, Reject
from bridge.outcome import Failed, Rejected, Succeeded
from bridge.publishing.outbox.tables import tables

pytestmark = pytest.mark.databases("sqlite")

OUTBOX = tables("bridge").outbox


class AsyncFlask(Flask):
    """An app that runs async functions without the extra of Flask for them."""

    def async_to_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: asyncio.run(func(*arguments))


@dataclass
class Shop:
    """An app with a model whose methods can be deferred, and its database."""

    app: Flask
    events: DeferredEvents
    engine: Engine
    model: Any
    part: Any
    calls: list[Any]


def shop_on(engine: Engine, sessions: Callable[[], Any], **options: Any) -> Shop:
    """Make an app on this database."""
    app = AsyncFlask("shop")
    events = DeferredEvents(app)
    calls: list[Any] = []

    class Base(DeclarativeBase):
        deferred = events.methods(sessions, **options)

    class Article(Base):
        __tablename__ = "article"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "article"}  # noqa: RUF012
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str] = mapped_column(String(20))
        title: Mapped[str] = mapped_column(String(50))

        def publish(self, how: Any = None, *, tweet: bool = True) -> Any:
            calls.append((self.id, self.title, how, tweet))
            self.title += "!"
            if how == "fail":
                raise ValueError("not now")
            return how

        def rename(self, title: str) -> Any:
            async def later() -> None:
                await asyncio.sleep(0)
                self.title = title
                if title == "fail":
                    raise ValueError("not now")

            return [later()]

        async def wait(self) -> int:
            await asyncio.sleep(0)
            calls.append(self.title)
            return self.id

        def follow(self) -> None:
            self.deferred(session=object_session(self)).publish("followed")

        def _private(self) -> None:
            raise AssertionError

        @classmethod
        def build_feed(cls, size: int = 10) -> Any:
            calls.append((cls.__name__, size))
            return {"size": Decimal(size)}

        @staticmethod
        def clean() -> None:
            calls.append("clean")

        @property
        def url(self) -> str:
            raise AssertionError

    class Review(Article):
        __mapper_args__ = {"polymorphic_identity": "review"}  # noqa: RUF012

        def rate(self) -> str:
            return f"{self.title} is good"

    class Part(Base):
        __tablename__ = "part"
        left: Mapped[str] = mapped_column(String(50), primary_key=True)
        right: Mapped[UUID] = mapped_column(primary_key=True)

        def touch(self) -> None:
            calls.append((self.left, self.right))

    Base.metadata.create_all(engine)
    tables("bridge").metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Article(id=17, title="a"), Review(id=18, title="b")])
        session.commit()
    return Shop(app, events, engine, Article, Part, calls)


@pytest.fixture
def shop(engine: Engine) -> Shop:
    """An app with a plain session factory."""
    return shop_on(engine, sessionmaker(engine))


def titles(shop: Shop) -> list[str]:
    """Return the titles in the database, by their ids."""
    with Session(shop.engine) as session:
        return list(session.scalars(select(shop.model.title).order_by(shop.model.id)))


def article(shop: Shop, number: int = 17) -> Any:
    """Return a record that was loaded before, and is detached."""
    with Session(shop.engine, expire_on_commit=False) as session:
        return session.get_one(shop.model, number)


def test_a_method_of_a_record_runs_later(shop: Shop) -> None:
    """With the record loaded anew, and its arguments; the transaction is committed."""
    with shop.events.testing() as deferred:
        record = article(shop)
        event_id = record.deferred.publish(Decimal("1.5"), tweet=False)
        with Session(shop.engine) as session, session.begin():
            session.get_one(shop.model, 17).title = "changed"
        assert (deferred[0].id, deferred[0].name) == (event_id, "method.article.publish")
        deferred.replay()

    assert shop.calls == [(17, "changed", Decimal("1.5"), False)]
    assert titles(shop) == ["changed!", "b"]


def test_a_method_that_raises_is_rolled_back(shop: Shop) -> None:
    """The event fails with its error."""
    with shop.events.testing() as deferred:
        article(shop).deferred.publish("fail")
        [outcome] = deferred.replay(check=False)

    assert isinstance(outcome, Failed)
    assert outcome.error.message == "not now"
    assert titles(shop) == ["a", "b"]


def test_methods_of_a_model(shop: Shop) -> None:
    """Classmethods and staticmethods, without a record."""
    with shop.events.testing() as deferred:
        shop.model.deferred.build_feed(size=3)
        shop.model.deferred.clean()
        deferred.replay()

    assert shop.calls == [("Article", 3), "clean"]


def test_an_answer_at_once(shop: Shop) -> None:
    """Of any type that can travel; with a timeout; an error of the method is that of the call."""
    with shop.events.testing():
        assert article(shop).deferred.call.publish(date(2026, 1, 2)) == date(2026, 1, 2)
        assert article(shop).deferred.call.publish() is None
        assert shop.model.deferred.call(timeout=3).build_feed(3) == {"size": Decimal(3)}
        assert article(shop).deferred.call.wait() == 17
        with pytest.raises(CallFailed, match="not now"):
            article(shop).deferred.call.publish("fail")
        with pytest.raises(TypeError, match=r"deferred.call\(delay=…\): expected some of timeout"):
            article(shop).deferred.call(delay=3).wait()

    assert titles(shop) == ["a!!", "b"]


def test_a_subclass(shop: Shop) -> None:
    """Its records have the base's methods under its own name, and its own; it is loaded through the base too."""
    with shop.events.testing() as deferred:
        review = article(shop, 18)
        assert review.deferred.call.rate() == "b is good"
        review.deferred.publish()
        assert deferred[0].name == "method.review.publish"
        shop.events.defer("method.article.publish", {"identity": 18})
        deferred.replay()
        with pytest.raises(AttributeError, match=r"Article.rate: expected a public method"):
            article(shop).deferred.rate  # noqa: B018

    assert titles(shop) == ["a", "b!!"]


def test_a_primary_key_of_several_columns(shop: Shop) -> None:
    """Travels with its types."""
    with Session(shop.engine) as session:
        part = shop.part(left="ü 'x'", right=UUID(int=7))
        session.add(part)
        session.commit()
        with shop.events.testing() as deferred:
            part.deferred.touch()
            deferred.replay()

    assert shop.calls == [("ü 'x'", UUID(int=7))]


def test_a_record_that_is_gone_is_rejected(shop: Shop) -> None:
    """The reason names the model and the primary key; a call raises it."""
    record = article(shop)
    with Session(shop.engine) as session, session.begin():
        session.delete(session.get_one(shop.model, 17))
    with shop.events.testing() as deferred:
        record.deferred.publish()
        [outcome] = deferred.replay(check=False)
        with pytest.raises(CallRejected, match="the record is gone"):
            record.deferred.call.publish()

    assert isinstance(outcome, Rejected)
    assert outcome.error.message == "Article 17: the record is gone"


def test_the_app_says_what_becomes_of_a_record_that_is_gone(engine: Engine) -> None:
    """`gone` is called with the model and the primary key; when it returns, the event is done."""
    gone: list[Any] = []
    shop = shop_on(engine, sessionmaker(engine), gone=lambda model, key: gone.append((model.__name__, key)))
    with shop.events.testing() as deferred:
        shop.events.defer("method.article.publish", {"identity": [5]})
        deferred.replay()

    assert gone == [("Article", (5,))]


def test_with_a_session_it_is_in_the_outbox(shop: Shop) -> None:
    """In the transaction of a record that is not committed yet, with the other arguments of `defer()`."""
    with Session(shop.engine) as session:
        record = shop.model(id=20, title="new")
        session.add(record)
        session.flush()
        record.deferred(session=session, priority="high", key="k").publish()
        session.commit()
        record.deferred(session=session).publish()
        session.rollback()
        rows = session.execute(select(OUTBOX)).all()

    assert [(row.name, row.event_key, json.loads(row.data)) for row in rows] == [
        ("method.article.publish", "k", {"identity": [20], "arguments": {}})
    ]


def test_a_method_defers_another_one_in_its_own_transaction(shop: Shop) -> None:
    """By the session of its record."""
    with shop.events.testing() as deferred:
        article(shop).deferred.follow()
        deferred.replay()
        deferred.replay()

    assert shop.calls == [(17, "a", "followed", True)]


def test_what_does_not_exist_raises_where_it_is_called(shop: Shop) -> None:
    """Names that are no method, wrong arguments, records that were not flushed, and what cannot travel."""
    record = article(shop)
    with shop.events.testing() as deferred:
        for name in ("nothing", "_private", "title", "url", "metadata", "build_feed"):
            with pytest.raises(AttributeError, match=f"{name}"):
                getattr(record.deferred, name)
            with pytest.raises(AttributeError, match=f"{name}"):
                getattr(record.deferred.call, name)
        with pytest.raises(AttributeError, match=r"Article.publish: expected a classmethod"):
            shop.model.deferred.publish  # noqa: B018
        with pytest.raises(TypeError, match=r"Article.publish\(\): got an unexpected keyword argument 'tweets'"):
            record.deferred.publish(tweets=1)
        with pytest.raises(DeferError, match="expected a record that was flushed"):
            shop.model(title="x").deferred.publish()
        with pytest.raises(InvalidPayload, match=r"method.article.publish: the argument 0 is of the type .*Shop"):
            record.deferred.publish(shop)
        with pytest.raises(TypeError, match=r"deferred\(dely=…\): expected some of at, delay"):
            record.deferred(dely=5).publish()
        with pytest.raises(DeferError, match="delay='soon'"):
            record.deferred(delay="soon").publish()

    assert list(deferred) == []


@pytest.mark.parametrize(
    ("name", "payload", "message"),
    [
        ("method.nothing.publish", {"identity": 17}, "models named 'nothing' .*: expected one, got none"),
        ("method.article._private", {"identity": 17}, "Article._private: expected a public method"),
        ("method.article.publish", {}, "Article.publish: expected a classmethod"),
        ("method.article.title", {"identity": 17}, "expected a method that is called with a record"),
        ("method.article.publish", {"identity": 17, "x": 1}, "expected some of"),
        ("method.article.publish", [17], "expected some of"),
        ("method.article.publish", {"identity": 17, "arguments": [1]}, "expected a list, and an object"),
        ("method.article.publish", {"identity": {"@os.system": "x"}}, "no codec 'os.system'"),
        ("method.article.publish", {"identity": [1, 2]}, "Incorrect number of values in identifier"),
    ],
)
def test_events_of_strangers_call_nothing_else(shop: Shop, name: str, payload: Any, message: str) -> None:
    """Only public methods of the models, with arguments that the codecs make."""
    with shop.events.testing() as deferred:
        shop.events.defer(name, payload)
        [outcome] = deferred.replay(check=False)

    assert isinstance(outcome, Failed)
    assert outcome.error.message
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(outcome.error.message)
    assert shop.calls == []


def test_two_models_of_one_name_are_refused(shop: Shop) -> None:
    """Where a method of one of them is deferred."""
    columns = {"__tablename__": "other", "__module__": "shop.other", "id": mapped_column(Integer, primary_key=True)}
    other = type("Part", (shop.model.__mro__[1],), columns)
    assert other is not shop.part
    with Session(shop.engine) as session, shop.events.testing():
        part = shop.part(left="a", right=UUID(int=1))
        session.add(part)
        session.commit()
        with pytest.raises(LookupError, match=r"expected one, got .*Part, .*Part"):
            part.deferred.touch()


def test_a_scoped_session(engine: Engine) -> None:
    """Flask-SQLAlchemy's `db.session` is one."""
    shop = shop_on(engine, scoped_session(sessionmaker(engine)))
    with shop.events.testing() as deferred:
        article(shop).deferred.publish()
        deferred.replay()

    assert titles(shop) == ["a!", "b"]


def test_wrong_factories() -> None:
    """Are refused where the attribute is made."""
    events = DeferredEvents(Flask("shop"))
    with pytest.raises(TypeError, match=r"methods\(\): sessions: expected a function"):
        events.methods(17)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"methods\(\): gone: expected a function .* with a model and a primary key"):
        events.methods(Session, gone=lambda: None)  # type: ignore[misc, arg-type]


def test_gone_may_raise_an_outcome(engine: Engine) -> None:
    """Such as its own `Reject`."""

    def gone(model: type, key: tuple[Any, ...]) -> None:
        raise Reject(f"no {key[0]}")

    shop = shop_on(engine, sessionmaker(engine), gone=gone)
    with shop.events.testing() as deferred:
        shop.events.defer("method.article.publish", {"identity": [5]})
        [outcome] = deferred.replay(check=False)

    assert isinstance(outcome, Rejected)
    assert outcome.error.message == "no 5"


@pytest.mark.databases("postgres")
def test_an_async_session(engine: Engine, url: str) -> None:
    """Loads the record, and commits what an async or a plain method has changed; an error is rolled back."""
    shop = shop_on(engine, async_sessionmaker(create_async_engine(url, poolclass=NullPool)))
    with shop.events.testing() as deferred:
        article(shop).deferred.publish()
        article(shop).deferred.wait()
        article(shop, 18).deferred.publish("fail")
        shop.events.defer("method.article.publish", {"identity": 5})
        outcomes = deferred.replay(check=False)
        assert article(shop).deferred.call.wait() == 17

    assert [type(outcome) for outcome in outcomes] == [Succeeded, Succeeded, Failed, Rejected]
    assert titles(shop) == ["a!", "b"]


@pytest.mark.databases("postgres")
def test_work_that_a_method_returns_is_in_the_transaction(engine: Engine, url: str) -> None:
    """It has ended when the session is committed, and its error rolls the session back."""
    shop = shop_on(engine, async_sessionmaker(create_async_engine(url, poolclass=NullPool)))
    with shop.events.testing() as deferred:
        article(shop).deferred.rename("c")
        article(shop, 18).deferred.rename("fail")
        outcomes = deferred.replay(check=False)

    assert [type(outcome) for outcome in outcomes] == [Succeeded, Failed]
    assert titles(shop) == ["c", "b"]


@pytest.mark.databases("postgres")
@pytest.mark.parametrize("is_async", [False, True])
def test_gone_may_be_async(engine: Engine, url: str, is_async: bool) -> None:
    """With a session of either kind. It is awaited, and may raise an outcome too."""

    async def gone(model: type, key: tuple[Any, ...]) -> None:
        await asyncio.sleep(0)
        raise Reject(f"no {key[0]}")

    sessions = async_sessionmaker(create_async_engine(url, poolclass=NullPool)) if is_async else sessionmaker(engine)
    shop = shop_on(engine, sessions, gone=gone)
    with shop.events.testing() as deferred:
        shop.events.defer("method.article.publish", {"identity": [5]})
        [outcome] = deferred.replay(check=False)

    assert isinstance(outcome, Rejected)
    assert outcome.error.message == "no 5"
