"""Finds what is left of an ordeal, and where: for the drain, and for the message of an ordeal that fails."""

import asyncio
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bridge.errors import BridgeError
from tests.faults.limits import STEP
from tests.faults.stage import Stage
from tests.rabbitmq_node import RabbitNodeError

SHOWN = 200
"""The most characters of a process's command line, and of an error."""


_COUNTS = """
lists:filtermap(fun(Q) ->
    Name = element(4, amqqueue:get_name(Q)),
    Ask = fun(Query) -> {{ok, {{_, Number}}, _}} = ra:leader_query(amqqueue:get_pid(Q), Query), Number end,
    case {{string:prefix(Name, <<"{namespace}.">>), amqqueue:get_type(Q)}} of
        {{nomatch, _}} -> false;
        {{_, rabbit_quorum_queue}} -> {{true, [binary_to_list(Name) | try [
                element(1, Ask(fun rabbit_fifo:query_stat_dlx/1)),
                Ask(fun rabbit_fifo:query_messages_ready/1),
                Ask(fun rabbit_fifo:query_messages_checked_out/1),
                Ask(fun rabbit_fifo:query_consumer_count/1)
            ] catch _:_ -> [1, 0, 0, 0] end]}};
        {{_, rabbit_classic_queue}} ->
            Counts = rabbit_amqqueue:info(Q, [messages_ready, messages_unacknowledged, consumers]),
            {{true, [binary_to_list(Name), 0 | [Number || {{_, Number}} <- Counts]]}};
        {{_, rabbit_stream_queue}} -> false
    end
end, rabbit_amqqueue:list()).
"""
"""The Erlang expression for the numbers of `InQueue`, by the name of each queue of a namespace. The leaders are asked,
so no number is late. A queue that has no leader now counts as one message on its way."""


class InQueue(NamedTuple):
    """The numbers of messages of a queue of RabbitMQ, and of its consumers. Messages that have left a queue for another
    one, and that the other one has not confirmed, are `leaving`: RabbitMQ itself counts them in neither."""

    leaving: int
    ready: int
    unacknowledged: int
    consumers: int

    @property
    def total(self) -> int:
        """The number of messages that are not settled."""
        return self.leaving + self.ready + self.unacknowledged

    def __str__(self) -> str:
        return (
            f"{self.ready} ready, {self.unacknowledged} unacknowledged, {self.leaving} leaving, "
            f"{self.consumers} consumers"
        )


def messages(stage: Stage) -> Mapping[str, InQueue]:
    """Return the counts of each queue of the site that RabbitMQ has messages in, without those of the logs. These
    include deliveries to a consumer that has ended without RabbitMQ noticing. Empty on SQLite, whose own backlog has
    them. Raise `RabbitNodeError` or `subprocess.TimeoutExpired` if a node that runs cannot be asked."""
    node = next((node for node in stage.nodes if node.running), None)
    if node is None:
        return {}
    counts = {name: InQueue(*numbers) for name, *numbers in json.loads(node.eval(_counts(stage.site.namespace)))}
    return {name: queue for name, queue in counts.items() if queue.total}


def unsettled(stage: Stage) -> int:
    """Return the number of messages in the queues of RabbitMQ, with unacknowledged ones, and those on their way from
    one queue to another."""
    return sum(queue.total for queue in messages(stage).values())


def _counts(namespace: str) -> str:
    return _COUNTS.format(namespace=namespace)


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
