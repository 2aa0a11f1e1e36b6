"""A magazine: every change of an article is an event, and an article is published in the pool.

The app defers nothing by hand but `publish`. `ARTICLES_DATABASE` is the URL of its database, as SQLAlchemy has it. In
`examples/`, with the settings of `articles/bridge.toml`:

    export BRIDGE_CONFIG=articles/bridge.toml ARTICLES_DATABASE=sqlite:////tmp/articles.db
    flask --app articles init-database
    bridge-relay & bridge-worker articles:app & flask --app articles run
    curl -H 'Content-Type: application/json' -d '{"title": "News"}' localhost:5000/articles
    curl -X POST localhost:5000/articles/1/publish
    curl localhost:5000/articles/1
"""

import os
from datetime import UTC, datetime
from typing import Any

from flask import Flask, abort, request
from flask.typing import ResponseReturnValue
from sqlalchemy import ForeignKey, String, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, object_session, sessionmaker

from deferred_event_bridge import DeferredEvents, Event, outbox

app = Flask(__name__)
events = DeferredEvents(app)
engine = create_engine(os.environ.get("ARTICLES_DATABASE", "sqlite:///articles.db"))
sessions = sessionmaker(engine)


class Base(DeclarativeBase):
    """The tables of the magazine. Each model has `deferred`, by which its methods run in the pool."""

    deferred = events.methods(sessions)


class Article(Base):
    """An article, which is a draft until it is published."""

    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    published_at: Mapped[datetime | None]

    def publish(self, tweet: bool = True) -> None:
        """Publish the article, once however often the event comes. Runs in the pool."""
        session = object_session(self)
        events.once(session)
        self.published_at = datetime.now(UTC).replace(tzinfo=None)
        if tweet:  # by another event, so that a failure does not publish again
            events.defer("tweet.asked", {"title": self.title}, session=session)


class Change(Base):
    """A line of the public list of changes."""

    __tablename__ = "change"
    id: Mapped[int] = mapped_column(primary_key=True)
    article_id: Mapped[int] = mapped_column(ForeignKey("article.id"))
    text: Mapped[str] = mapped_column(String(500))


events.track(Article, "insert", "update", columns=[Article.title, Article.published_at])


@events.on("article.inserted", "article.updated", once=sessions)
def list_change(event: Event, session: Session) -> None:
    """Add a line to the list of changes: of the app, of a method in the pool, or of a trigger."""
    change = events.change(event)
    for name, values in change.changed.items():
        if values.get("new") is not None:
            line = f"{name}: {values.get('old', '')} -> {values['new']}"
            session.add(Change(article_id=change.identity["id"], text=line))


@events.on("tweet.asked")
def tweet(event: Event) -> None:
    """Tweet. This example only logs it."""
    app.logger.warning("tweets %s", event.payload["title"])


@app.post("/articles")
def create() -> ResponseReturnValue:
    """Create a draft. Its event is in the outbox, if the draft is committed."""
    with sessions() as session:
        article = Article(title=request.get_json()["title"])
        session.add(article)
        session.commit()
        return {"id": article.id}, 201


@app.post("/articles/<int:number>/publish")
def publish(number: int) -> ResponseReturnValue:
    """Let the pool publish an article."""
    with sessions() as session:
        article = session.get(Article, number) or abort(404)
        event_id = article.deferred(session=session).publish(tweet=False)
        session.commit()
        return {"event": event_id}, 202


@app.get("/articles/<int:number>")
def show(number: int) -> dict[str, Any]:
    """Show an article with its changes."""
    with sessions() as session:
        article = session.get(Article, number) or abort(404)
        lines = session.scalars(select(Change.text).where(Change.article_id == number).order_by(Change.id))
        return {"title": article.title, "is_public": article.published_at is not None, "changes": list(lines)}


@app.cli.command("init-database")
def init_database() -> None:
    """Make the missing tables: those of the magazine, and those of the outbox."""
    Base.metadata.create_all(engine)
    outbox.metadata().create_all(engine)
