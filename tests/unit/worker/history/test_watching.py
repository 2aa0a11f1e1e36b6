"""When a watched event has ended."""

from collections.abc import Collection

from tests.unit.worker.history.examples import SECOND, entry
from worker.history.watching import Watch


def two_queues(_name: str) -> Collection[str]:
    """Return the queues of every event."""
    return ("mail", "stats")


def test_an_event_ends_in_each_of_its_queues() -> None:
    """It is over when the last of them has an end."""
    watch = Watch(two_queues)
    assert not watch.is_over
    watch.add(entry(3 * SECOND))
    watch.add(entry(2 * SECOND, queue="stats", end="retried"))
    assert not watch.is_over
    watch.add(entry(SECOND, queue="stats", attempt=2))

    assert watch.is_over
    assert watch.all_delivered


def test_one_end_that_is_no_success() -> None:
    """The event is not delivered."""
    watch = Watch(lambda _name: ("mail",))
    watch.add(entry(end="expired"))

    assert watch.is_over
    assert not watch.all_delivered


def test_an_attempt_that_is_read_twice() -> None:
    """It is shown once."""
    watch = Watch(two_queues)

    assert [watch.add(entry()), watch.add(entry())] == [True, False]


def test_attempts_out_of_order() -> None:
    """The newest attempt counts, whichever is read last."""
    watch = Watch(lambda _name: ("mail",))
    watch.add(entry(SECOND))
    watch.add(entry(2 * SECOND, end="retried"))

    assert watch.is_over


def test_a_redriven_event() -> None:
    """An event that died and was redriven goes on."""
    watch = Watch(lambda _name: ("mail",))
    watch.add(entry(3 * SECOND, end="dead"))
    watch.add(entry(2 * SECOND, end="retried"))

    assert not watch.is_over


def test_a_queue_that_is_not_in_the_settings() -> None:
    """It counts when an attempt in it is known."""
    watch = Watch(lambda _name: ())
    watch.add(entry(queue="other", end="retried"))
    assert not watch.is_over
    watch.add(entry(queue="other"))

    assert watch.is_over
