"""What tests of the relay share: events in an outbox, and a relay of it to a broker whose answers a test can change."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from app_adapter.outgoing import Outgoing
from app_adapter.sqlalchemy.outbox import write
from bridge.config.store_settings import StoreSettings
from bridge.event import Event
from bridge.handling import Handling
from bridge.moments import Tell, tell_nobody
from bridge.publishing.lazy_publisher import LazyPublisher
from bridge.publishing.outbox.outbox_relay import OutboxRelay
from bridge.publishing.outbox.tables import tables
from bridge.queues import Queue
from tests.unit.bridge.publishing.doubles import SwitchedBroker, an_event

OUTBOX = tables("bridge").outbox
POLL = timedelta(seconds=0.02)


def keyed(number: int, key: str) -> Event:
    """Return an event with this number as its payload, and this key."""
    return an_event(number)._replace(handling=Handling(key=key))


def commit(engine: Engine, events: Iterable[Event]) -> None:
    """Commit events to the outbox, in one transaction."""
    with Session(engine) as session:
        write(session, "bridge", [Outgoing(event) for event in events])
        session.commit()


def count(engine: Engine) -> int:
    """Return the number of events in the outbox."""
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(OUTBOX)).scalar_one()


@asynccontextmanager
async def relaying(url: str, broker: SwitchedBroker, tell: Tell = tell_nobody) -> AsyncIterator[OutboxRelay]:
    """Relay the outbox of this database to the broker."""
    publisher = LazyPublisher(lambda: broker, (Queue("default"),))
    relay = OutboxRelay(StoreSettings(url, poll=POLL), "bridge", publisher, tell)
    relay.start()
    try:
        yield relay
    finally:
        await relay.close()
        await publisher.close()
