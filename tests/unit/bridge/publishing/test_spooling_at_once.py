"""Publishing without waiting, with a spool: the broker's answer, or the spool if the broker does not answer."""

from pathlib import Path

import pytest

from bridge.deadline import Deadline
from bridge.errors import BridgeError, TooLarge
from bridge.event import Event
from bridge.publishing.lazy_publisher import Destination
from bridge.publishing.spool.spool_file import SpoolFile
from bridge.publishing.spooling_publisher import SpoolingPublisher
from tests.deadlines import within
from tests.unit.bridge.publishing.doubles import (
    AMPLE,
    BUDGET,
    SwitchedBroker,
    a_spool,
    an_event,
    count,
    spooling,
    until,
)

Answer = Destination | BridgeError


@pytest.fixture
def file(tmp_path: Path) -> SpoolFile:
    """Return a spool of the test's own."""
    return a_spool(tmp_path)


@pytest.fixture
def broker() -> SwitchedBroker:
    """Return a broker that publishes without waiting."""
    broker = SwitchedBroker()
    broker.posts = True
    return broker


class Told:
    """The answers to one event."""

    def __init__(self, publisher: SpoolingPublisher, event: Event, deadline: Deadline) -> None:
        self.answers: list[Answer] = []
        posting = publisher.at_once(event, deadline=deadline)
        assert posting is not None
        posting(self.answers.append)

    async def answer(self) -> Answer:
        """Wait for the first answer."""
        await until(lambda: bool(self.answers))
        return self.answers[0]


async def warm(publisher: SpoolingPublisher) -> None:
    """Open the broker by a first event."""
    await publisher.publish(an_event(0), deadline=within(AMPLE))


async def test_the_broker_confirms(file: SpoolFile, broker: SwitchedBroker) -> None:
    """Nothing is spooled."""
    async with spooling(broker, file) as publisher:
        await warm(publisher)

        assert await Told(publisher, an_event(1), within(AMPLE)).answer() == "broker"

    assert broker.numbers == [0, 1]
    assert count(file) == 0


async def test_before_the_broker_is_open_an_event_has_to_wait(file: SpoolFile, broker: SwitchedBroker) -> None:
    """Nothing is published."""
    async with spooling(broker, file) as publisher:
        assert publisher.at_once(an_event(1), deadline=within(AMPLE)) is None

    assert broker.tries == 0


async def test_an_error_of_the_event_itself_is_told(file: SpoolFile, broker: SwitchedBroker) -> None:
    """It says nothing against the broker, and nothing is spooled."""
    async with spooling(broker, file) as publisher:
        await warm(publisher)
        broker.answer = "too large"

        assert isinstance(await Told(publisher, an_event(1), within(AMPLE)).answer(), TooLarge)

        broker.answer = "confirm"
        assert await Told(publisher, an_event(2), within(AMPLE)).answer() == "broker"
    assert count(file) == 0


async def test_an_event_without_an_answer_is_spooled_and_takes_the_others_along(
    file: SpoolFile, broker: SwitchedBroker
) -> None:
    """Those with more time do not wait for a broker that has not answered another one. The circuit is open then."""
    async with spooling(broker, file) as publisher:
        await warm(publisher)
        broker.answer = "silence"

        patient = [Told(publisher, an_event(number), within(600)) for number in range(1, 4)]
        first = Told(publisher, an_event(4), within(BUDGET))

        assert await first.answer() == "spool"
        assert [await each.answer() for each in patient] == ["spool"] * 3
        assert publisher.at_once(an_event(5), deadline=within(AMPLE)) is None
        assert {event.id for event in broker.withdrawn} <= {event.id for event in broker.unconfirmed}
        assert len(broker.withdrawn) == 3
        assert count(file) == 4
        for task in broker.posted:
            task.cancel()


async def test_an_answer_that_comes_after_the_spooling_is_not_told(file: SpoolFile, broker: SwitchedBroker) -> None:
    """The caller has one answer."""
    async with spooling(broker, file) as publisher:
        await warm(publisher)
        broker.answer = "silence"
        late = Told(publisher, an_event(1), within(5.0))
        first = Told(publisher, an_event(2), within(BUDGET))
        of_both = list(broker.posted)  # the relay posts later
        assert (await first.answer(), await late.answer()) == ("spool", "spool")

        await until(lambda: all(task.done() for task in of_both))

        assert (first.answers, late.answers) == (["spool"], ["spool"])


async def test_at_the_end_of_a_process_an_event_without_an_answer_is_spooled(
    file: SpoolFile, broker: SwitchedBroker
) -> None:
    """`close()` does not wait for its deadline."""
    async with spooling(broker, file) as publisher:
        await warm(publisher)
        broker.answer = "silence"
        told = Told(publisher, an_event(1), within(600))

        await publisher.close()

        assert told.answers == ["spool"]
    assert count(file) == 1
    for task in broker.posted:
        task.cancel()
