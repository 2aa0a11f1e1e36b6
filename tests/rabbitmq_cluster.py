"""A private cluster of three RabbitMQ nodes for tests, which can be partitioned and healed. `url` has all addresses.

Its partition handling is `pause_minority`, which RabbitMQ's guide recommends for three nodes: a node that is cut off
closes its connections and accepts no clients until it is healed.
"""

import json
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.erlang import binary
from tests.guard import Guard
from tests.limits import PATIENCE
from tests.private_broker import PrivateBroker
from tests.rabbitmq_environment import new_cookie
from tests.rabbitmq_node import RabbitNode, RabbitNodeError

SIZE = 3
_NO_COOKIE = "nobody"

_RUNNING = """
[atom_to_list(N) || N <- case erlang:function_exported(rabbit_nodes, all_running, 0) of
    true -> rabbit_nodes:all_running();
    false -> rabbit_nodes:list_running()
end].
"""
"""The Erlang expression for the names of the nodes that a node sees run, in RabbitMQ 3.10 and 4."""

_LEADER = """
{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, {queue})),
[{{leader, Leader}}] = rabbit_amqqueue:info(Q, [leader]),
atom_to_list(Leader).
"""
"""The Erlang expression for the name of the node that leads a quorum queue or stream; empty if it has no leader."""


class RabbitCluster(PrivateBroker):
    """A cluster of three nodes. It is removed even if the Python process is killed."""

    def __init__(self, advanced: str = "") -> None:
        """`advanced` is the advanced.config of each node."""
        self.directory = Path(tempfile.mkdtemp(prefix="bridge-rabbitmq-cluster-"))
        self._guard = Guard(self.directory)
        new_cookie(self.directory)
        shared = {"HOME": str(self.directory), "RABBITMQ_CONFIG_FILE": str(self._config)}
        first = RabbitNode(shared, advanced)
        shared["ERL_EPMD_PORT"] = str(first.epmd_port)
        self.nodes = (first, *(RabbitNode(shared, advanced) for _ in range(SIZE - 1)))
        self._config.write_text(_settings(node.name for node in self.nodes))

    @property
    def url(self) -> str:
        """The AMQP URL of the default virtual host, with the addresses of all nodes."""
        return f"amqp://guest:guest@{','.join(f'127.0.0.1:{node.port}' for node in self.nodes)}/"

    def start(self) -> None:
        """Start all nodes at once; return when each serves AMQP and sees the others. The nodes of RabbitMQ 4 wait for
        each other. Those of 3.10 take a lock in turn, which needs many retries on a busy machine."""
        with ThreadPoolExecutor(SIZE) as threads:
            tuple(threads.map(RabbitNode.start, self.nodes))
        self.await_whole()

    def restart(self) -> None:
        """Restart one node after the other, each after the previous one serves AMQP again."""
        for node in self.nodes:
            node.restart()

    def leader_of(self, queue: str) -> RabbitNode:
        """Return the node that leads a quorum queue or stream. Raise `RabbitNodeError` if it has no leader now."""
        for node in self.nodes:
            leader = self._ask(node, _LEADER.format(queue=binary(queue)))
            for each in self.nodes:
                if each.running and each.name == leader:
                    return each
        raise RabbitNodeError(f"queue {queue} has no leader")

    def cut_off(self, node: RabbitNode) -> None:
        """Cut a node off from the others until `heal`: the nodes refuse each other's cookies. rabbitmqctl and clients
        can still reach it."""
        others = ",".join(f"'{each.name}'" for each in self.nodes if each is not node)
        node.eval(f"[{{erlang:set_cookie(N, {_NO_COOKIE}), erlang:disconnect_node(N)}} || N <- [{others}]].")

    def heal(self, node: RabbitNode) -> None:
        """Undo `cut_off`. The node rejoins the cluster after some seconds: see `await_whole`."""
        others = ",".join(f"'{each.name}'" for each in self.nodes if each is not node)
        node.eval(f"[{{erlang:set_cookie(N, erlang:get_cookie()), net_adm:ping(N)}} || N <- [{others}]].")

    def await_whole(self) -> None:
        """Return when every node runs and sees all others run."""
        end = time.monotonic() + PATIENCE
        while not all(len(self._seen_by(node)) == SIZE for node in self.nodes):
            if time.monotonic() > end:
                seen = {node.name: self._seen_by(node) for node in self.nodes}
                raise RabbitNodeError(f"the cluster is not whole after {PATIENCE:g} s; seen as running: {seen}")
            time.sleep(0.05)

    def remove(self) -> None:
        """Kill all nodes and their processes, and remove their files. A second call does nothing."""
        for node in self.nodes:
            node.remove()
        self._guard.clear()

    @property
    def _config(self) -> Path:
        return self.directory / "rabbitmq.conf"

    def _seen_by(self, node: RabbitNode) -> list[str]:
        return self._ask(node, _RUNNING) or []

    def _ask(self, node: RabbitNode, expressions: str) -> Any:
        """Return the value of Erlang expressions in a node, lists and strings; None if the node is dead or paused."""
        try:
            return json.loads(node.eval(expressions))
        except RabbitNodeError:
            return None


def _settings(names: Iterable[str]) -> str:
    lines = ["cluster_partition_handling = pause_minority", "cluster_formation.peer_discovery_backend = classic_config"]
    lines += ["cluster_formation.discovery_retry_limit = 2", "cluster_formation.discovery_retry_interval = 100"]
    lines += ["cluster_formation.internal_lock_retries = 50"]
    lines += [f"cluster_formation.classic_config.nodes.{number} = {name}" for number, name in enumerate(names, 1)]
    return "\n".join(lines) + "\n"
