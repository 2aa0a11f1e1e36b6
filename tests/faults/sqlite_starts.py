"""Starts on one SQLite file: processes that publish and consume there for some milliseconds until SIGKILL, one after
the other. What each leaves behind is checked by SQLite itself, and what each knew is in the history.

Run as ``python -m tests.faults.sqlite_starts STARTS SEED``, in a site's directory. This process has imported all and
opened nothing; each start is a fork of it, so that a thousand take half a minute. No worker: these processes use the
broker alone, and decide as a worker does.
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
from bridge.brokers.contract import Broker, Delivery, Publisher
from bridge.brokers.opening import open_broker
from bridge.brokers.sqlite.broker import path_of
from bridge.ledger import Letter
from bridge.outcome import Failed, Rejected, Settleable, Succeeded
from bridge.settings import Settings, load_settings
from bridge.settlement import DeadLetter, Policies, Retry, decide
from tests.events import new_event
from tests.faults.history import History
from tests.faults.stage import BUDGET
from worker.policies import policies_of

PUBLISHERS = 4
HELD = 8
"""Deliveries that a start holds at most."""

LIFE = 0.06
"""Seconds that a start lives at most: from before it has opened the file to some hundred transactions later."""

LARGE = 20_000
"""Bytes of an event whose row overflows into further pages."""

DO = {3: ["reject"], 5: ["fail", "ok"], 7: ["fail"]}
"""Of ten events, those that do not just succeed: what each attempt does."""

OUTCOMES: Mapping[str, Settleable] = {
    "ok": Succeeded(),
    "fail": Failed(Error("ConnectionError", "downstream is down")),
    "reject": Rejected(Error("Reject", "never")),
}


class Start:
    """One start: what it does from its first moment to its end, which is not its own."""

    def __init__(self, name: str, settings: Settings, history: History) -> None:
        self._name = name
        self._settings = settings
        self._history = history

    async def live(self) -> None:
        """Publish and consume, without end."""
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
            await publisher.publish(new_event(f"judged.{key}", data(key)), within=BUDGET)
            self._note("ok", key)
            number += 1

    async def _consume(self, broker: Broker, policies: Mapping[str, Policies], tasks: asyncio.TaskGroup) -> None:
        consumer = broker.consumer()
        await consumer.start(dict.fromkeys(policies, HELD))
        while True:
            delivery = await consumer.receive()
            tasks.create_task(self._replay(delivery, policies[delivery.queue]))

    async def _replay(self, delivery: Delivery, policies: Policies) -> None:
        event, attempt, began = delivery.envelope.event, delivery.envelope.attempt_number, datetime.now(UTC)
        key = event.name.removeprefix("judged.")
        self._note("attempt", key, attempt=attempt, id=event.id)
        steps = json.loads(event.data)["do"]
        step = steps[min(attempt, len(steps)) - 1]
        outcome, now = OUTCOMES[step], datetime.now(UTC)
        self._note("effect" if step == "ok" else "failure", key, attempt=attempt, id=event.id)
        settlement = decide(delivery.envelope, outcome, policies, began, now)
        match settlement:
            case Retry(envelope=envelope, due=due):
                await delivery.retry(envelope, due - now)
            case DeadLetter(envelope=envelope, reason=reason, error=error):
                await delivery.dead_letter(Letter(now, delivery.queue, reason, envelope, error))
            case _:
                await delivery.ack()

    def _note(self, what: str, key: str, **known: object) -> None:
        self._history.note(what, key=key, pid=os.getpid(), **known)


def data(key: str) -> bytes:
    """Return the data of an event, which follow from its key."""
    number = int(key.rpartition("-")[2]) % 10
    filling = key * (LARGE // len(key)) if number == 9 else key
    return json.dumps({"do": DO.get(number, ["ok"]), "filling": filling}).encode()


def check(path: Path) -> str:
    """Return what SQLite says of a file, as it was left. Asked of a copy: the file's recovery is the next start's."""
    copy = path.with_name(f"copy-of-{path.name}")
    parts = [part for part in ("", "-wal") if path.with_name(path.name + part).exists()]
    for part in parts:
        shutil.copy(path.with_name(path.name + part), copy.with_name(copy.name + part))
    with closing(sqlite3.connect(copy)) as connection:
        said = str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    for part in ("", "-wal", "-shm"):
        copy.with_name(copy.name + part).unlink(missing_ok=True)
    return said


def main(starts: int, seed: int) -> None:
    """Start and kill so many, and note what SQLite says of the file each time."""
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
