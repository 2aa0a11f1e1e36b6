"""The old and new values in model events: of all types, and only what the session knows."""

from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from app_adapter import DeferredEvents, InvalidPayload, TooLarge
from tests.outbox.committed import committed_changes
from tests.outbox.models import Article, Author, Pair, Reading, Status


class Level(IntEnum):
    """Numbers that are more than numbers."""

    LOW = 1


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

    [_, (_, identity, changed), (_, gone, was)] = committed_changes(engine)
    assert (identity, gone) == ({"id": 1}, {"id": 1})
    assert changed == {"title": {"new": "b"}, "views": {}, "changed": {"new": 2}}
    assert was["title"] == {"old": "b"}
    assert was["body"] == {}


def spy(engine: Engine) -> list[str]:
    """Return a list to which each statement of the engine is added."""
    statements: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(" ".join(statement.split()))

    return statements


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

    [(_, identity, new), (_, _, changed)] = committed_changes(engine)
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

    assert committed_changes(engine) == []


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

    assert committed_changes(engine) == [
        ("article.inserted", {"id": 1}, {"author_id": {"new": 1}}),
        ("article.updated", {"id": 1}, {"author_id": {"old": 1, "new": 2}}),
        ("author.updated", {"id": 1}, {"favourite_id": {"old": None, "new": 1}}),
        ("author.updated", {"id": 1}, {"favourite_id": {"old": 1, "new": None}}),
        ("article.deleted", {"id": 1}, {"author_id": {"old": 2}}),
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

    assert [changed for _, _, changed in committed_changes(engine)] == [
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

    assert committed_changes(engine) == [
        ("pair.updated", {"left": "b", "right": 1}, {"left": {"old": "a", "new": "b"}})
    ]


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

    assert committed_changes(engine)[1:] == [("pair.updated", {"left": "a", "right": 1}, {"note": {"new": "y"}})]


@pytest.mark.databases("sqlite")
def test_active_history(engine: Engine, session: Session, events: DeferredEvents) -> None:
    """A column that is mapped so has its old value after a commit too."""
    events.track(Reading, "update")
    reading = Reading(id=1, unit="m")
    session.add(reading)
    session.commit()
    reading.unit = "km"
    session.commit()

    assert committed_changes(engine) == [("reading.updated", {"id": 1}, {"unit": {"old": "m", "new": "km"}})]


@pytest.mark.databases("sqlite")
def test_a_value_that_cannot_travel_fails_the_flush(engine: Engine, session: Session, events: DeferredEvents) -> None:
    """The error names the event, the column and what was expected, and nothing is written."""
    events.track(Article, "insert")
    session.add(Article(title="a", views=Level.LOW))
    with pytest.raises(InvalidPayload, match=r"article.inserted: the new value of views is of the type .*Level"):
        session.flush()
    session.rollback()

    assert committed_changes(engine) == []


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

    assert [identity for _, identity, _ in committed_changes(engine)] == [{"id": 1}]
