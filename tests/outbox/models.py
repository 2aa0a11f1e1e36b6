"""The models that tests of model events use: columns of many types, relationships, inheritance, composite keys."""

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, LargeBinary, Numeric, String, func
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, deferred, mapped_column, relationship


class Base(DeclarativeBase):
    """The app's own tables."""

    __table_args__ = {"mariadb_charset": "utf8mb4"}  # noqa: RUF012


class Status(Enum):
    """An enum of the app."""

    DRAFT = 1
    PUBLISHED = 2


class Author(Base):
    """A record with articles."""

    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    articles: Mapped[list["Article"]] = relationship(
        back_populates="author", cascade="all, delete-orphan", foreign_keys="Article.author_id"
    )
    favourite_id: Mapped[int | None] = mapped_column(ForeignKey("article.id", use_alter=True, name="favourite"))
    favourite: Mapped["Article | None"] = relationship(foreign_keys=favourite_id, post_update=True)


class Article(Base):
    """A record with columns of many types."""

    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str | None] = mapped_column(String(50))
    body: Mapped[str | None] = deferred(mapped_column(String(50)))
    views: Mapped[int] = mapped_column(default=0)
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    changed: Mapped[int] = mapped_column(default=1, onupdate=lambda: 2)
    price: Mapped[Decimal | None] = mapped_column(Numeric(20, 2))
    status: Mapped[Status | None]
    uid: Mapped[UUID | None]
    data: Mapped[dict[str, Any] | None] = mapped_column(MutableDict.as_mutable(JSON))
    raw: Mapped[bytes | None] = mapped_column(LargeBinary)
    author_id: Mapped[int | None] = mapped_column("writer", ForeignKey("author.id"))
    author: Mapped[Author | None] = relationship(back_populates="articles", foreign_keys=author_id)


class Pair(Base):
    """A record with a primary key of two columns."""

    __tablename__ = "pair"
    left: Mapped[str] = mapped_column("l", String(50), primary_key=True)
    right: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    note: Mapped[str | None] = mapped_column(String(50))


class Reading(Base):
    """A record with a number that may be NaN."""

    __tablename__ = "reading"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float | None]
    unit: Mapped[str | None] = mapped_column(String(50), active_history=True)
    note: Mapped[str | None] = mapped_column(String(50))


class Person(Base):
    """The base of records in two tables, and in one."""

    __tablename__ = "person"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(50))


class Engineer(Person):
    """A record in two tables."""

    __tablename__ = "engineer"
    __mapper_args__ = {"polymorphic_identity": "engineer"}  # noqa: RUF012
    id: Mapped[int] = mapped_column(ForeignKey("person.id"), primary_key=True)
    language: Mapped[str | None] = mapped_column(String(50))


class Manager(Person):
    """A record in the table of its base."""

    __mapper_args__ = {"polymorphic_identity": "manager"}  # noqa: RUF012
    level: Mapped[int | None]
