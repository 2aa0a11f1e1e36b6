"""The table `[stores.NAME]` of `bridge.toml`: a database of the app whose outbox `bridge-relay` publishes, or a
queue of Sidekiq (`sidekiq_settings`).

No database library is imported here: every program reads the same file.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from bridge.config.notation import PositiveDuration, SomeText, text
from bridge.config.password_file import with_password
from bridge.config.reading import table
from bridge.config.redis_url import is_redis
from bridge.config.sidekiq_settings import SidekiqSettings
from bridge.config.sqlite_url import path_in
from bridge.errors import SettingsError
from bridge.host_names import check_server

DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql", "sqlite": "pysqlite"}
"""The databases, and the driver that is used for each if the URL names none."""

_LOGIN = re.compile(r"(?<=://)[^:/]*(:[^@]*)?@")
"""The user and password of a database, as SQLAlchemy finds them: a password may have a slash."""

NEEDS_SQLALCHEMY = "an outbox needs SQLAlchemy 2: pip install 'deferred-event-bridge[sqlalchemy]'"


def database_of(url: str) -> str:
    """Return the kind of database in a URL: a key of `DRIVERS`."""
    return urlsplit(url).scheme.partition("+")[0]


def database_url(value: object) -> str:
    """Read the URL of a database, as SQLAlchemy has it. Raise `ValueError`, which says what was expected."""
    url = text(value)
    database, _, driver = urlsplit(url).scheme.partition("+")
    if database not in DRIVERS or "://" not in url:
        raise ValueError(
            "expected postgresql://host/database, mysql://…, mariadb://… or sqlite:///path/to/file.db; or redis://… "
            "for a queue of Sidekiq"
        )
    if database == "sqlite" and not driver:
        path_in(url)
    elif database != "sqlite":
        if not urlsplit(url).path.strip("/"):
            raise ValueError(f"expected the name of a database, as in {database}://host/shop")
        check_server(urlsplit(_LOGIN.sub("", url, count=1)))
    return url


@dataclass(frozen=True)
class StoreSettings:
    """The table `[stores.<name>]`. See docs/outbox.md."""

    url: Annotated[str, database_url] = field(repr=False)
    password_file: SomeText | None = None
    """The file with the password of the user in `url`."""
    poll: PositiveDuration = timedelta(seconds=0.2)
    """The time between two looks for new events, where the database cannot wake the relay."""
    keep_marks: PositiveDuration = timedelta(days=30)
    """The age at which the relay deletes the marks of listeners that ran once."""

    def url_with_password(self) -> str:
        """Return the URL with the password from its file. Raise `SettingsError`."""
        if self.password_file is None:
            return self.url
        try:
            return with_password(self.url, Path(self.password_file), "url", "postgresql://shop@host/shop")
        except ValueError as error:
            raise SettingsError(f"password_file of a store = {self.password_file!r}: {error}") from None


_OUTBOX, _SIDEKIQ = table(StoreSettings), table(SidekiqSettings)


def store(value: object) -> StoreSettings | SidekiqSettings:
    """Read a table of `[stores]`: its `url` decides what the store is."""
    of_sidekiq = isinstance(value, Mapping) and is_redis(value.get("url"))
    return _SIDEKIQ(value) if of_sidekiq else _OUTBOX(value)


def outboxes(stores: Mapping[str, StoreSettings | SidekiqSettings]) -> dict[str, StoreSettings]:
    """Return the stores that are outboxes in databases."""
    return {name: each for name, each in stores.items() if isinstance(each, StoreSettings)}


def sidekiq_queues(stores: Mapping[str, StoreSettings | SidekiqSettings]) -> dict[str, SidekiqSettings]:
    """Return the stores that are queues of Sidekiq."""
    return {name: each for name, each in stores.items() if isinstance(each, SidekiqSettings)}


def relayed_queues(stores: Mapping[str, StoreSettings | SidekiqSettings]) -> dict[str, SidekiqSettings]:
    """Return the queues of Sidekiq whose jobs become events: those with classes."""
    return {name: each for name, each in sidekiq_queues(stores).items() if each.classes}
