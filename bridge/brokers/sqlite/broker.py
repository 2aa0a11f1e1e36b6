"""The embedded broker as one process uses it: one database file, one connection, one thread."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Self

from bridge.brokers.any_broker.record_log import RecordLog
from bridge.brokers.sqlite.calling.caller import SqliteCaller
from bridge.brokers.sqlite.calling.server import SqliteCallServer
from bridge.brokers.sqlite.coordination.broadcast import SqliteBroadcast
from bridge.brokers.sqlite.coordination.changes import Changes
from bridge.brokers.sqlite.coordination.claim import SqliteClaim, hold
from bridge.brokers.sqlite.emptying.emptying import SqliteEmptying
from bridge.brokers.sqlite.logs.ledger import SqliteLedger
from bridge.brokers.sqlite.logs.log import SqliteBatchLog
from bridge.brokers.sqlite.mailboxes.mailboxes import SqliteMailboxes
from bridge.brokers.sqlite.queues.consumer import SqliteConsumer, Tables
from bridge.brokers.sqlite.queues.counting import Counting
from bridge.brokers.sqlite.queues.enqueuing import Enqueuing
from bridge.brokers.sqlite.queues.maturing import Maturing
from bridge.brokers.sqlite.queues.operating import SqliteQueueOperator
from bridge.brokers.sqlite.queues.publisher import SqlitePublisher
from bridge.brokers.sqlite.queues.purging import Purging
from bridge.brokers.sqlite.queues.routing import Routing
from bridge.brokers.sqlite.queues.schema import Schema
from bridge.brokers.sqlite.queues.settling import Settling
from bridge.brokers.sqlite.queues.taking import Taking
from bridge.config.hiding import shown
from bridge.config.sqlite_url import path_in
from bridge.errors import BrokerRefused, SettingsError
from bridge.local_database.connection import existing
from bridge.local_database.database import Database
from bridge.local_database.one_name import one_name
from bridge.local_database.private_files import FileAccess
from bridge.logs import KEEP_ALL, Retention
from bridge.queues import Queue

BUSY_SECONDS = 5.0
"""The time for which a look at a file waits for other processes."""


class SqliteBroker:
    """A broker in one database file. The file is opened at the first use. The object cannot be used after a fork."""

    def __init__(self, path: Path, namespace: str, *, creates: bool = True, file_group: int | None = None) -> None:
        schema = self._schema = Schema(namespace)
        self._routing = Routing(schema)
        self._enqueuing = Enqueuing(schema, self._routing)
        self._counting = Counting(schema, self._routing)
        maturing = self._maturing = Maturing(schema, self._routing)
        self._purging = Purging(schema, self._routing, maturing)
        self._tables = Tables(schema, Taking(schema, maturing), Settling(schema), self._counting)
        self._database = Database(path, schema, creates=creates, group=file_group)
        self._changes = Changes(self._database)
        self._declared: dict[str, Queue] = {}
        self._consumers: list[SqliteConsumer] = []
        self._logs: list[RecordLog] = []
        self._closing: list[SqliteCaller | SqliteCallServer | SqliteMailboxes] = []

    @classmethod
    def from_url(cls, url: str, namespace: str, *, creates: bool = True, file_group: int | None = None) -> Self:
        """Return the broker that the URL names: `sqlite:///relative.db` (relative to the working directory) or
        `sqlite:////absolute.db`, percent-decoded. Raise `SettingsError` for any other URL.

        `creates`: a missing file is created. `file_group`: the group that shares the file."""
        return cls(path_of(url), namespace, creates=creates, file_group=file_group)

    @property
    def name(self) -> str:
        return f"SQLite {self._database.path}"

    @property
    def trouble(self) -> str:
        return "another process keeps the file busy" if self._database.busy else ""

    async def declare(self, queues: Sequence[Queue]) -> None:
        self._declared.update((queue.name, queue) for queue in queues)
        await self._database.run(lambda connection: self._routing.declare(connection, queues))

    async def prepare(self, queues: Sequence[Queue]) -> None:
        await self.declare(queues)

    def publisher(self) -> SqlitePublisher:
        return SqlitePublisher(self._database, self._enqueuing, self._wake_consumers)

    def consumer(self) -> SqliteConsumer:
        consumer = SqliteConsumer(self._database, self._tables, self._wake_consumers, self._declared)
        self._consumers.append(consumer)
        return consumer

    def ledger(self) -> SqliteLedger:
        return SqliteLedger(self._database, self._schema, self._enqueuing, self._wake_consumers)

    def log(self, name: str, retention: Retention = KEEP_ALL) -> RecordLog:
        table = f"{self._schema.prefix}.log.{name}"
        log = RecordLog(name, SqliteBatchLog(self._database, self._changes, table, retention))
        self._logs.append(log)
        return log

    def claim(self, name: str) -> AbstractAsyncContextManager[SqliteClaim]:
        database = self._database.path
        path = database.with_name(f"{database.name}.{self._schema.prefix}.claim.{name}")
        return hold(path, FileAccess.like(database), f"another process holds the claim '{name}' on {self.name}")

    def broadcast(self, subject: str) -> SqliteBroadcast:
        return SqliteBroadcast(self._database, self._changes, f"{self._schema.prefix}.broadcast", subject)

    def caller(self) -> SqliteCaller:
        caller = SqliteCaller(self._database, self._changes, self._schema.prefix)
        self._closing.append(caller)
        return caller

    def call_server(self) -> SqliteCallServer:
        server = SqliteCallServer(self._database, self._changes, self._schema.prefix)
        self._closing.append(server)
        return server

    def mailboxes(self) -> SqliteMailboxes:
        mailboxes = SqliteMailboxes(self._database, self._changes, self._schema.prefix)
        self._closing.append(mailboxes)
        return mailboxes

    def operator(self) -> SqliteQueueOperator:
        return SqliteQueueOperator(self._database, self._counting, self._purging)

    def emptying(self) -> SqliteEmptying:
        """Return what takes the events out of the file, for another broker. Close it before the broker."""
        return SqliteEmptying(self._database, self._schema, self._maturing)

    async def close(self) -> None:
        """Close the consumers, the calls, the mailboxes, the logs and the connection; a second call does nothing."""
        for each in self._closing:
            await each.close()
        for log in self._logs:
            await log.close()
        consumers, self._consumers = self._consumers, []
        for consumer in consumers:
            await consumer.close()
        await self._database.close()

    def _wake_consumers(self) -> None:
        for consumer in self._consumers:
            consumer.look()


def check_namespace(path: Path, namespace: str) -> None:
    """Raise `BrokerRefused` if the file at this path has no tables of this namespace; the message names the namespaces
    that it has."""
    with existing(path, BUSY_SECONDS) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    suffix = ".version"
    if Schema(namespace).prefix + suffix in names:
        return
    found = sorted(name.removesuffix(suffix) for name in names if name.endswith(suffix))
    there = f"its namespaces are {', '.join(found)}" if found else "it has none"
    raise BrokerRefused(f"{path} has no namespace {namespace!r}: {there}; give --old-namespace")


def path_of(url: str) -> Path:
    """Return the one name of the file that the URL names. Raise `SettingsError`."""
    try:
        return one_name(Path(path_in(url)))
    except ValueError as error:
        raise SettingsError(f"broker_url {shown('broker_url', url)}: {error}") from None
