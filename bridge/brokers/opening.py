"""Opens the broker that a URL names. A broker is imported when it is used: importing aio-pika takes 0.1 s."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bridge.brokers.contract.roles import Role
from bridge.brokers.contract.tls import DEFAULT_TLS, Tls
from bridge.config.hiding import shown
from bridge.config.sqlite_url import is_sqlite
from bridge.errors import BrokerUnavailable, SettingsError
from bridge.ledger_keys import NO_KEYS, LedgerKeys
from bridge.local_database.importing import Importing
from bridge.looking import is_missing

if TYPE_CHECKING:
    from bridge.brokers.contract.broker import Broker
    from bridge.brokers.contract.emptying import Emptying
    from bridge.brokers.contract.findings import Finding
    from bridge.brokers.contract.inspection import Examination, SiteOnBroker
    from bridge.config.settings import Settings


class _Options(NamedTuple):
    """The options of `open_broker`."""

    declare: bool
    creates: bool
    file_group: int | None
    tls: Tls
    keys: LedgerKeys


def _open_sqlite(url: str, namespace: str, options: _Options) -> "Broker":
    from bridge.brokers.sqlite.broker import SqliteBroker

    # It always declares and signs nothing: the permissions of the file protect it.
    return SqliteBroker.from_url(url, namespace, creates=options.creates, file_group=options.file_group)


def _open_rabbitmq(url: str, namespace: str, options: _Options) -> "Broker":
    from bridge.brokers.rabbitmq.broker import RabbitBroker

    return RabbitBroker.from_url(url, namespace, declares=options.declare, tls=options.tls, keys=options.keys)


_BY_SCHEME: dict[str, Callable[[str, str, _Options], "Broker"]] = {
    "sqlite": _open_sqlite,
    "amqp": _open_rabbitmq,
    "amqps": _open_rabbitmq,
}


importing = Importing()
"""Entered to import a broker, or another module, on a thread."""


def open_broker(
    url: str,
    namespace: str,
    *,
    declare: bool = True,
    creates: bool = True,
    file_group: int | None = None,
    tls: Tls = DEFAULT_TLS,
    keys: LedgerKeys = NO_KEYS,
) -> "Broker":
    """Return the broker that a URL names; it connects later. Unless `declare`, all objects on RabbitMQ must exist.
    Unless `creates`, a database file must exist. `file_group` is the group that shares the file. `tls` secures
    connections; `keys` sign and verify the ledger on RabbitMQ. Raise `SettingsError` for an unknown scheme."""
    scheme, separator, _ = url.partition("://")
    opener = _BY_SCHEME.get(scheme) if separator else None
    if opener is None:
        raise SettingsError(
            f"broker_url {shown('broker_url', url)}: expected sqlite:///path, amqp://host/ or amqps://host/"
        )
    with importing:
        return opener(url, namespace, _Options(declare, creates, file_group, tls, keys))


def open_broker_of(settings: "Settings") -> "Broker":
    """Return the broker that the settings name, with their TLS and keys. Raise what `open_broker` raises."""
    values = settings.values
    return open_broker(
        values.broker_url,
        values.namespace,
        declare=values.declare,
        file_group=values.file_group,
        tls=settings.tls(),
        keys=settings.ledger_keys(),
    )


def open_existing(
    url: str,
    namespace: str,
    *,
    declare: bool = True,
    file_group: int | None = None,
    tls: Tls = DEFAULT_TLS,
    keys: LedgerKeys = NO_KEYS,
) -> "Broker":
    """Return the broker that a URL names, as `open_broker` does, for a program that makes no database file. Raise
    `BrokerUnavailable` if the URL names a file that does not exist."""
    if is_sqlite(url):
        with importing:
            from bridge.brokers.sqlite.broker import path_of
        if is_missing(path := path_of(url)):
            raise BrokerUnavailable(f"there is no file {path}; give --broker-url or --config")
    return open_broker(url, namespace, declare=declare, creates=False, file_group=file_group, tls=tls, keys=keys)


def path_to_empty(url: str) -> Path:
    """Return the path of the database file that the URL names. Raise `SettingsError` for another broker, and
    `BrokerUnavailable` if there is no such file."""
    if not is_sqlite(url):
        raise SettingsError(
            f"OLD_URL {shown('broker_url', url)}: expected sqlite:///path. Only a file can be emptied from outside; "
            "the queues of RabbitMQ are run to their end by a worker with --until-settled"
        )
    from bridge.brokers.sqlite.broker import path_of

    if is_missing(path := path_of(url)):
        raise BrokerUnavailable(f"there is no file {path}")
    return path


def open_to_empty(url: str, namespace: str, file_group: int | None = None) -> "tuple[Broker, Emptying]":
    """Return the broker in the file that the URL names, and what takes its events out. Close both, the second one
    first. Raise what `path_to_empty` raises, and `BrokerRefused` if the file has nothing in this namespace."""
    path = path_to_empty(url)
    from bridge.brokers.sqlite.broker import SqliteBroker, check_namespace

    check_namespace(path, namespace)
    broker = SqliteBroker(path, namespace, creates=False, file_group=file_group)
    return broker, broker.emptying()


def same_file(one: str, other: str) -> bool:
    """Return True if both URLs name the same database file."""
    if not (is_sqlite(one) and is_sqlite(other)):
        return False
    from bridge.brokers.sqlite.broker import path_of

    return path_of(one) == path_of(other)


def permissions(site: "SiteOnBroker", role: Role) -> str:
    """Return the commands that make a user for this role of the site on RabbitMQ. Raise `SettingsError` for another
    broker."""
    if is_sqlite(site.url):
        raise SettingsError(f"--permissions are for RabbitMQ, and broker_url is {site.url!r}: expected amqp://host/")
    from bridge.brokers.rabbitmq.connection.address import address
    from bridge.brokers.rabbitmq.topology.names import Names
    from bridge.brokers.rabbitmq.topology.roles import commands

    return commands(Names(site.namespace), address(site.url, site.tls).vhost, role, declares=site.declares)


async def inspect(site: "SiteOnBroker") -> "Examination":
    """Examine the broker and the site's objects there; takes at most some 30 s. Raise `SettingsError` if the URL names
    no broker."""
    if is_sqlite(site.url):
        from bridge.brokers.sqlite.inspection.inspect import inspect_sqlite

        return await inspect_sqlite(site)
    from bridge.brokers.rabbitmq.inspection.inspect import inspect_rabbitmq

    return await inspect_rabbitmq(site)


async def remove(site: "SiteOnBroker") -> None:
    """Delete the site's exchanges and queues on RabbitMQ, with all messages and logs. A missing object is no error. An
    SQLite file stays: its owner removes it. Raise `BrokerUnavailable` or `BrokerRefused`."""
    if is_sqlite(site.url):
        return
    from bridge.brokers.rabbitmq.broker import RabbitBroker

    await RabbitBroker.from_url(site.url, site.namespace, tls=site.tls).remove(site.queues)


async def check_policies(site: "SiteOnBroker") -> "Sequence[Finding]":
    """Return a finding for each policy of RabbitMQ that changes how the site's queues keep events, as far as its
    management API tells. Raise `BrokerRefused` if a policy deletes queues."""
    if is_sqlite(site.url):
        return ()
    from bridge.brokers.rabbitmq.inspection.inspect import check_policies as check

    return await check(site)


def site_on_broker(settings: "Settings") -> "SiteOnBroker":
    """Return the objects that a site with these settings needs on its broker."""
    from bridge.brokers.contract.inspection import SiteOnBroker

    values = settings.values
    return SiteOnBroker(
        url=values.broker_url,
        namespace=values.namespace,
        queues=settings.queues(),
        declares=values.declare,
        management_url=values.management_url,
        tls=settings.tls(),
        history=values.history.retention(),
        mailboxes=values.mailboxes,
    )


def definitions(site: "SiteOnBroker") -> dict[str, Any]:
    """Return all objects that the site needs on RabbitMQ, in the format of `rabbitmqctl import_definitions`. Raise
    `SettingsError` for another broker."""
    if is_sqlite(site.url):
        raise SettingsError(f"--definitions are for RabbitMQ, and broker_url is {site.url!r}: expected amqp://host/")
    from bridge.brokers.rabbitmq.connection.address import address
    from bridge.brokers.rabbitmq.topology.definitions import definitions_of
    from bridge.brokers.rabbitmq.topology.names import Names

    vhost = address(site.url, site.tls).vhost
    return definitions_of(Names(site.namespace), site.queues, vhost, site.history, site.mailboxes)
