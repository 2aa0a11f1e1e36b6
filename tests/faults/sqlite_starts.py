"""Starts processes one after the other that publish and consume on one SQLite file for some milliseconds until SIGKILL.

SQLite checks the file after each, and the history has what each process noted. Run as
``python -m tests.faults.sqlite_starts STARTS SEED``, in a site's directory. This process imports all modules and opens
no file; each start is a fork of it, so that a thousand starts take half a minute. There is no worker: the processes use
the broker directly, and decide about events as a worker does.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from bridge.attempt import Error
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Delivery
from bridge.brokers.contract.publishing import Publisher
from bridge.brokers.opening import open_broker
from bridge.brokers.sqlite.broker import path_of
from bridge.config.settings import Settings, load_settings
from bridge.ledger import Letter
from bridge.outcome import Failed, Outcome, Rejected, Succeeded
from bridge.settlement import DeadLetter, Policies, RetryAfter, decide
from tests.deadlines import within
from tests.events import new_event
from tests.faults.history import History
from tests.faults.stage import BUDGET
from worker.events.retry_policies import policies_of

PUBLISHERS = 4
HELD = 8
"""The most deliveries that a start holds."""

LIFE = 0.06
"""The longest life of a start in seconds. Some are killed before they open the file, others after a hundred
transactions."""

LARGE = 20_000
"""The size in bytes of an event whose row needs several pages."""

DO = {3: ["reject"], 5: ["fail", "ok"], 7: ["fail"]}
"""By the event's number modulo 10: the step of each attempt. All other events succeed at once."""

OUTCOMES: Mapping[str, Outcome] = {
    "ok": Succeeded(),
    "fail": Failed(Error("ConnectionError", "downstream is down")),
    "reject": Rejected(Error("Reject", "never")),
}


class Start:
    """One process that runs until it is killed."""

    def __init__(self, name: str, settings: Settings, history: History) -> None:
        self._name = name
        self._settings = settings
        self._history = history

    async def live(self) -> None:
        """Publish and consume without limit."""
        broker = open_broker(self._settings.values.broker_url, self._settings.values.namespace)
        queues = self._settings.queues()
        await broker.declare(queues)
        publisher = broker.publisher()
        async with asyncio.TaskGroup() as tasks:
            for number in range(PUBLISHERS):
                tasks.create_task(self._publish(publisher, f"{self._name}-{number}"))
            await self._consume(broker, {queue.name: policies_of(queue) for queue in queues}, tasks)

    async def _publish(self, publisher: Publisher, name: str) -> None:
        number = 0
        while True:
            key = f"{name}-{number}"
            self._note("invoke", key)
            await publisher.publish(new_event(f"judged.{key}", data(key)), deadline=within(BUDGET))
            self._note("ok", key)
            number += 1

    async def _consume(self, broker: Broker, policies: Mapping[str, Policies], tasks: asyncio.TaskGroup) -> None:
        consumer = broker.consumer()
        await consumer.start(dict.fromkeys(policies, HELD))
        while True:
            delivery = await consumer.receive()
            tasks.create_task(self._replay(delivery, policies[delivery.queue]))

    async def _replay(self, delivery: Delivery, policies: Policies) -> None:
        event, attempt, began = delivery.envelope.event, delivery.envelope.attempt_number, time.monotonic()
        key = event.name.removeprefix("judged.")
        self._note("attempt", key, attempt=attempt, id=event.id)
        steps = json.loads(event.data)["do"]
        step = steps[min(attempt, len(steps)) - 1]
        outcome, now = OUTCOMES[step], datetime.now(UTC)
        self._note("effect" if step == "ok" else "failure", key, attempt=attempt, id=event.id)
        settlement = decide(delivery.envelope, outcome, policies, time.monotonic() - began, now)
        match settlement:
            case RetryAfter(envelope=envelope, wait=wait):
                await delivery.retry(envelope, wait)
            case DeadLetter(envelope=envelope, reason=reason, error=error):
                await delivery.dead_letter(Letter(now, delivery.queue, reason, envelope, error))
            case _:
                await delivery.ack()

    def _note(self, what: str, key: str, **known: object) -> None:
        self._history.note(what, key=key, pid=os.getpid(), **known)


def data(key: str) -> bytes:
    """Return the data of the event with this key."""
    number = int(key.rpartition("-")[2]) % 10
    filling = key * (LARGE // len(key)) if number == 9 else key
    return json.dumps({"do": DO.get(number, ["ok"]), "filling": filling}).encode()


def check(path: Path) -> str:
    """Return the result of SQLite's integrity check. It uses a copy, so that the next start recovers the file."""
    copy = path.with_name(f"copy-of-{path.name}")
    parts = [part for part in ("", "-wal") if path.with_name(path.name + part).exists()]
    for part in parts:
        shutil.copy(path.with_name(path.name + part), copy.with_name(copy.name + part))
    with closing(sqlite3.connect(copy)) as connection:
        result = str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    for part in ("", "-wal", "-shm"):
        copy.with_name(copy.name + part).unlink(missing_ok=True)
    return result


def main(starts: int, seed: int) -> None:
    """Start and kill this many processes, and note the integrity check of the file after each."""
    settings, history, dice = load_settings(), History.of_environment(), random.Random(seed)
    path = path_of(settings.values.broker_url)
    for number in range(starts):
        pid = os.fork()
        if not pid:
            asyncio.run(Start(f"s{seed}x{number}", settings, history).live())
        time.sleep(dice.uniform(0.0, LIFE))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        history.note("hurt", act="SIGKILL of a start", repeats=HELD, killed=[pid])
        history.note("checked", said=check(path) if os.WTERMSIG(status) == signal.SIGKILL else f"ended with {status}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
