"""Finds what is left of an ordeal, and where: for the drain, and for the message of an ordeal that fails."""

import asyncio
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bridge.brokers.rabbitmq.topology.names import Names
from bridge.errors import BridgeError
from tests.faults.limits import STEP
from tests.faults.stage import Stage
from tests.rabbitmq_node import RabbitNode, RabbitNodeError

SHOWN = 200
"""The most characters of a process's command line, and of an error."""


_ON_THEIR_WAY = """
lists:sum([case ra:leader_query(amqqueue:get_pid(Q), fun rabbit_fifo:query_stat_dlx/1) of
        {{ok, {{_, {{Number, _}}}}, _}} -> Number;
        _ -> 1
    end || Q <- rabbit_amqqueue:list(), amqqueue:get_type(Q) =:= rabbit_quorum_queue,
        string:prefix(element(4, amqqueue:get_name(Q)), <<"{namespace}.">>) =/= nomatch]).
"""
"""The Erlang expression for the number of messages that have left a queue for another one, and that the other one has
not confirmed: RabbitMQ counts them in neither. A queue that has no leader now counts as one."""


class InQueue(NamedTuple):
    """The numbers of messages in a queue of RabbitMQ, and of its consumers."""

    ready: int
    unacknowledged: int
    consumers: int

    def __str__(self) -> str:
        return f"{self.ready} ready, {self.unacknowledged} unacknowledged, {self.consumers} consumers"


def messages(stage: Stage) -> Mapping[str, InQueue]:
    """Return the counts of each queue of the site that RabbitMQ has messages in, without those of the logs. These
    include deliveries to a consumer that has ended without RabbitMQ noticing. Empty on SQLite, whose own backlog has
    them. Raise `RabbitNodeError` or `subprocess.TimeoutExpired` if a node that runs cannot be asked."""
    node = next((node for node in stage.nodes if node.running), None)
    return {} if node is None else _messages_on(node, Names(stage.site.namespace))


def unsettled(stage: Stage) -> int:
    """Return the number of messages in the queues of RabbitMQ, with unacknowledged ones, and those on their way from
    one queue to another."""
    node = next((node for node in stage.nodes if node.running), None)
    if node is None:
        return 0
    on_their_way = node.eval(_ON_THEIR_WAY.format(namespace=stage.site.namespace))
    return int(on_their_way) + sum(queue.ready + queue.unacknowledged for queue in messages(stage).values())


def _messages_on(node: RabbitNode, names: Names) -> Mapping[str, InQueue]:
    columns = ("name", "messages_ready", "messages_unacknowledged", "consumers")
    rows = json.loads(node.ctl("list_queues", "--formatter", "json", *columns))
    counts = {name: InQueue(*numbers) for name, *numbers in ([row[column] for column in columns] for row in rows)}
    own = {name: queue for name, queue in counts.items() if name.startswith(f"{names.namespace}.")}
    logs = (names.ledger, names.log(""))
    return {
        name: queue
        for name, queue in own.items()
        if not name.startswith(logs) and (queue.ready or queue.unacknowledged)
    }


async def backlogs(stage: Stage) -> Mapping[str, str]:
    """Return the counts of each queue that is not empty, by its name; what cannot be counted says why not."""
    try:
        async with asyncio.timeout(STEP):
            if stage.site.broker_url.startswith("amqp"):
                return {name: str(counts) for name, counts in (await asyncio.to_thread(messages, stage)).items()}
            async with stage.site.broker() as broker:
                backlog = await broker.consumer().backlog()
    except (BridgeError, RabbitNodeError, subprocess.TimeoutExpired, TimeoutError) as error:
        return {"the broker": f"cannot be asked: {type(error).__name__}: {error!s:.{SHOWN}}"}
    return {
        name: f"{queue.ready} ready, {queue.held} held, {queue.waiting} waiting"
        for name, queue in backlog.items()
        if queue.ready or queue.held or queue.waiting
    }


async def whereabouts(stage: Stage) -> str:
    """Return the counts of each queue that is not empty and of the spool, the processes that run, and the last lines of
    each program."""
    queues = [f"queue {name}: {counts}" for name, counts in (await backlogs(stage)).items()]
    running = [f"running {pid}: {_command(pid)}" for pid in stage.site.processes]
    return "\n".join(("left of the ordeal:", *queues, *_spool(stage), *running, stage.report()))


def _spool(stage: Stage) -> Sequence[str]:
    try:
        return [f"spool: {stage.spooled()} events"]
    except BridgeError as error:
        return [f"spool: {error!s:.{SHOWN}}"]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:SHOWN]
    except (FileNotFoundError, ProcessLookupError):
        return "has ended"
