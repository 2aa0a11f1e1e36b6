"""A move of a SQLite file to a broker, as the tests of the move make it, with the fixtures
`moving` and `alone`."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bridge.attempt import Attempt, Error
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Consumer
from bridge.brokers.opening import open_broker
from bridge.config.settings import Settings, load_settings
from bridge.envelope import Envelope
from bridge.handling import Handling
from tests.contract.acts import an_event, now, take_and_ack
from tests.contract.sqlite_site import SqliteSite
from tests.limits import PATIENCE
from worker.moving.move import Move, OldFile, Report

TOML = """
[queues.default]
[queues.orders]
patterns = ["order.#"]
ordered = true
[queues.mail]
patterns = ["mail.#"]
"""
A_WHILE = timedelta(seconds=2)


@dataclass
class Moving:
    """An old file with its broker, and the settings of the new site."""

    file: SqliteSite
    old: Broker
    new: Broker
    settings: Settings
    stop: asyncio.Event

    async def run(self, *, watch: bool = False) -> Report:
        """Close the old broker, and move."""
        await self.old.close()
        return await self.move(watch=watch)

    async def move(self, *, watch: bool = False) -> Report:
        """Move while the old broker is open."""
        await self.new.declare(self.settings.queues())
        old = OldFile(self.file.url, self.file.path, self.file.namespace, None)
        async with asyncio.timeout(PATIENCE):
            return await Move(old, self.new, self.settings, self.stop).run(watch=watch)

    async def publish(self, *names: str, handling: Handling | None = None) -> list[Envelope]:
        """Publish events to the old file, and return them as they are published."""
        publisher = self.old.publisher()
        events = [an_event(name) for name in names]
        if handling is not None:
            events = [event._replace(handling=handling) for event in events]
        for event in events:
            await publisher.publish(event)
        return [Envelope(event, round_began=event.time) for event in events]


async def a_move(url: str, namespace: str, folder: Path, open_another: Callable[[str], Broker]) -> Moving:
    """Return a move from a file of its own to this namespace."""
    settings_file = folder / "bridge.toml"
    settings_file.write_text(TOML, "utf-8")
    given = {"broker_url": url, "namespace": namespace}
    settings = load_settings(command_line=given, file=str(settings_file))
    file = SqliteSite(f"sqlite:///{folder}/old.db", "old")
    old = open_broker(file.url, file.namespace)
    await old.declare(settings.queues())
    return Moving(file, old, open_another(namespace), settings, asyncio.Event())


def failed(envelope: Envelope, text: str = "smtp is down") -> Envelope:
    """Return the envelope after an attempt that failed."""
    error = Error("ConnectionError", text, "Traceback: here")
    attempt = Attempt(envelope.round, envelope.attempt_number, now(), 0.25, "failed", "v41", error)
    return envelope.remember(attempt)._replace(spent=envelope.spent + 1, waited=2.0)


async def envelopes(consumer: Consumer, count: int) -> list[Envelope]:
    """Return the next events, in the order in which they come."""
    return [delivery.envelope for delivery in await take_and_ack(consumer, count)]


async def nothing_left(new: Broker, *queues: str) -> None:
    """Check that these queues of the new broker are empty."""
    consumer = new.consumer()
    backlog = await consumer.backlog()
    assert [backlog[queue].ready for queue in queues if queue in backlog] == [0] * len(queues)
