"""The embedded broker as one process uses it: one file, one connection, one thread."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from bridge.brokers.sqlite.consumer import SqliteConsumer
from bridge.brokers.sqlite.database import Database
from bridge.brokers.sqlite.events import Events
from bridge.brokers.sqlite.ledger import SqliteLedger
from bridge.brokers.sqlite.publisher import SqlitePublisher
from bridge.brokers.sqlite.routing import Routing
from bridge.brokers.sqlite.schema import Schema
from bridge.errors import SettingsError
from bridge.queues import Queue


class SqliteBroker:
    """A broker in one file. Nothing is opened before the first use; an object of it does not survive a fork."""

    def __init__(self, path: Path, namespace: str) -> None:
        schema = Schema(namespace)
        self._path = path
        self._routing = Routing(schema)
        self._events = Events(schema, self._routing)
        self._database = Database(path, schema)
        self._consumers: list[SqliteConsumer] = []

    @classmethod
    def from_url(cls, url: str, namespace: str) -> Self:
        """Return the broker that the URL names: `sqlite:///relative.db` (to the working directory) or
        `sqlite:////absolute.db`, percent-decoded. Raise `SettingsError` for anything else."""
        return cls(path_of(url), namespace)

    @property
    def name(self) -> str:
        return f"SQLite {self._path}"

    async def declare(self, queues: Sequence[Queue]) -> None:
        await self._database.run(lambda connection: self._routing.declare(connection, queues))

    def publisher(self) -> SqlitePublisher:
        return SqlitePublisher(self._database, self._events, self._stir)

    def consumer(self) -> SqliteConsumer:
        consumer = SqliteConsumer(self._database, self._events, self._stir)
        self._consumers.append(consumer)
        return consumer

    def ledger(self) -> SqliteLedger:
        return SqliteLedger(self._database, self._events, self._stir)

    async def close(self) -> None:
        """Close the consumers and the connection; twice is as good as once."""
        consumers, self._consumers = self._consumers, []
        for consumer in consumers:
            await consumer.close()
        await self._database.close()

    def _stir(self) -> None:
        for consumer in self._consumers:
            consumer.look()


def path_of(url: str) -> Path:
    """Return the file that the URL names. Raise `SettingsError`."""
    parts = urlsplit(url)
    path = unquote(parts.path[1:])
    if parts.netloc or parts.query or parts.fragment or path in ("", ":memory:") or path.endswith("/") or "\0" in path:
        raise SettingsError(
            f"broker_url {url!r}: expected the path of a file, as in sqlite:///bridge.db or sqlite:////var/lib/bridge.db"
        )
    return Path.cwd() / path
