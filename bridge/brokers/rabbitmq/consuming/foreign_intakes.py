"""The queues of older bridges from which a consumer takes messages too, and what becomes of their failures."""

import asyncio
from collections.abc import Iterable, Mapping

from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.consuming.foreign_intake import ForeignIntake
from bridge.brokers.rabbitmq.publishing.publication import Publication, failure_of_foreign
from bridge.brokers.rabbitmq.publishing.publisher import RabbitPublisher
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.ledger import Letter
from bridge.queues import Queue


class ForeignIntakes:
    """The intakes of one consumer. `declared` has the queues of the site by name."""

    def __init__(
        self, address: Address, names: Names, declared: Mapping[str, Queue], publisher: RabbitPublisher
    ) -> None:
        self._address = address
        self._names = names
        self._declared = declared
        self._publisher = publisher
        self._intakes: list[ForeignIntake] = []

    def start(self, served: Iterable[str]) -> None:
        """Take the messages for these queues of the site from now on."""
        for name in served:
            source = self._declared[name].foreign if name in self._declared else None
            if source is not None:
                intake = ForeignIntake(self._address, self._names, name, source, self._publisher)
                self._intakes.append(intake)
                intake.start()

    def failure_of(self, letter: Letter) -> Publication | None:
        """Return the message to a queue of errors for a dead letter; None if nobody asks for it."""
        declared = self._declared.get(letter.queue)
        source = None if declared is None else declared.foreign
        return failure_of_foreign(source, letter) if source is not None and source.errors else None

    async def stop(self) -> None:
        """Take no further message."""
        await asyncio.gather(*(intake.stop() for intake in self._intakes))

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(intake.close() for intake in self._intakes))
