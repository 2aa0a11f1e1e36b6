"""The stages that there are, by name, and what stands under them: started once, used for one ordeal after another."""

import random
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.faults.proxy import Proxy
from tests.faults.stage import Stage
from tests.journey.site import Site, site_on_sqlite
from tests.rabbitmq_cluster import RabbitCluster
from tests.rabbitmq_node import RabbitNode

IMPATIENT = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 3000}, {quorum_tick_interval, 300}]}]."
"""A node's settings, in milliseconds. What a level of the delay ladder cannot hand on, as its next queue is not there
or full, is tried again after 3 s instead of three minutes; and what rabbitmqctl counts is not 5 s old."""

HEARTBEAT = 2
"""Seconds, of the connections through a proxy: what is silent for three of them is given up."""


class Stages:
    """Makes stages. What a broker needs is started at the first ordeal on it, and ends with this."""

    def __init__(self, hold: float, seed: int) -> None:
        self._hold = hold
        self._seed = seed
        self._under = ExitStack()
        self._node: RabbitNode | None = None
        self._cluster_nodes: RabbitCluster | None = None
        self._makers: Mapping[str, Callable[[Path], tuple[Site, dict[str, Any]]]] = {
            "sqlite": self._sqlite,
            "rabbitmq": self._rabbitmq,
            "proxied": self._proxied,
            "cluster": self._cluster,
        }

    def __enter__(self) -> "Stages":
        return self

    def __exit__(self, *_: object) -> None:
        self._under.close()

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Make the stage of this name, and remove it at the end."""
        # Not pytest's tmp_path: the path of a control socket must be short.
        directory = Path(tempfile.mkdtemp(prefix="bridge-faults-"))
        site, under = self._makers[name](directory)
        stage = Stage(site, hold=self._hold, dice=random.Random(self._seed), **under)
        try:
            yield stage
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

    def _started_node(self) -> RabbitNode:
        if self._node is None:
            self._node = self._under.enter_context(RabbitNode(advanced=IMPATIENT))
        return self._node


def _namespace() -> str:
    return f"f{uuid.uuid4().hex[:10]}"
