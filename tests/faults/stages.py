"""Makes the stages, by name. The brokers under them are started once and serve one ordeal after another."""

import asyncio
import random
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.database_server import DatabaseServer, MariaDB, Postgres
from tests.faults.app_database import AppDatabase
from tests.faults.proxy import Proxy
from tests.faults.stage import Stage
from tests.faults.whereabouts import whereabouts
from tests.journey.site import Site, site_on_sqlite
from tests.rabbitmq_cluster import RabbitCluster
from tests.rabbitmq_node import RabbitNode

IMPATIENT = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 3000}, {quorum_tick_interval, 300}]}]."
"""Settings of a node, in milliseconds. RabbitMQ repeats a dead-lettering that the next queue of the delay ladder did
not confirm (missing or full) after 3 s instead of three minutes, and refreshes the counts that rabbitmqctl shows every
0.3 s instead of every 5 s."""

HEARTBEAT = 2
"""Heartbeat interval in seconds of connections through a proxy. A connection that is silent for three intervals is
closed."""


class Stages:
    """Makes stages. A broker is started at the first ordeal that uses it, and ends with this context manager."""

    def __init__(self, hold: float, seed: int) -> None:
        self._hold = hold
        self._seed = seed
        self._under = ExitStack()
        self._node: RabbitNode | None = None
        self._cluster_nodes: RabbitCluster | None = None
        self._servers: dict[type[DatabaseServer], DatabaseServer] = {}
        self._makers: Mapping[str, Callable[[Path], tuple[Site, dict[str, Any]]]] = {
            "sqlite": self._sqlite,
            "rabbitmq": self._rabbitmq,
            "proxied": self._proxied,
            "cluster": self._cluster,
            "postgres": self._postgres,
            "mariadb": self._mariadb,
        }

    def __enter__(self) -> "Stages":
        return self

    def __exit__(self, *_: object) -> None:
        self._under.close()

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Make the stage of this name, and remove it at the end of the `with` block. An error in the block gets a note
        that says what is left where."""
        # Not pytest's tmp_path: the path of a control socket must be short.
        directory = Path(tempfile.mkdtemp(prefix="bridge-faults-"))
        site, under = self._makers[name](directory)
        stage = Stage(site, hold=self._hold, dice=random.Random(self._seed), **under)
        try:
            yield stage
        except Exception as error:
            error.add_note(asyncio.run(whereabouts(stage)))
            raise
        finally:
            stage.close()
            site.remove()

    def _sqlite(self, directory: Path) -> tuple[Site, dict[str, Any]]:
        return site_on_sqlite(directory), {}

    def _rabbitmq(self, directory: Path) -> tuple[Site, dict[str, Any]]:
        node = self._started_node()
        return Site(directory, node.url, _namespace()), {"node": node}

    def _proxied(self, directory: Path) -> tuple[Site, dict[str, Any]]:
        node = self._started_node()
        proxy = self._under.enter_context(Proxy(node.port))
        url = f"{proxy.url(node.url)}?heartbeat={HEARTBEAT}"
        return Site(directory, url, _namespace()), {"node": node, "proxy": proxy}

    def _cluster(self, directory: Path) -> tuple[Site, dict[str, Any]]:
        if self._cluster_nodes is None:
            self._cluster_nodes = self._under.enter_context(RabbitCluster(IMPATIENT))
        return Site(directory, self._cluster_nodes.url, _namespace()), {"cluster": self._cluster_nodes}

    def _postgres(self, directory: Path) -> tuple[Site, dict[str, Any]]:
        """RabbitMQ, and an app with PostgreSQL."""
        site, under = self._rabbitmq(directory)
        return site, {**under, "database": AppDatabase(self._started_server(Postgres), site.namespace)}

    def _mariadb(self, directory: Path) -> tuple[Site, dict[str, Any]]:
        """The embedded broker, and an app with MariaDB."""
        site, under = self._sqlite(directory)
        return site, {**under, "database": AppDatabase(self._started_server(MariaDB), site.namespace)}

    def _started_server(self, kind: type[DatabaseServer]) -> DatabaseServer:
        if kind not in self._servers:
            self._servers[kind] = self._under.enter_context(kind())
        return self._servers[kind]

    def _started_node(self) -> RabbitNode:
        if self._node is None:
            self._node = self._under.enter_context(RabbitNode(advanced=IMPATIENT))
        return self._node


def _namespace() -> str:
    return f"f{uuid.uuid4().hex[:10]}"
