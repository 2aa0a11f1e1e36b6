"""The history on both brokers: what is kept of it, and what is read from its end."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from bridge.brokers.any_broker.history_reading import newest, oldest_time
from bridge.brokers.contract.broker import Broker
from bridge.history import Filter
from bridge.logs import Retention
from bridge.moments import Settled
from bridge.outcome import Succeeded
from bridge.settlement import Ack
from bridge.site_logs import HISTORY
from bridge.watchers.history import HistoryWatcher
from tests.contract.acts import eventually
from tests.unit.bridge.examples import envelope, event
from worker.history.finding import Wanted, attempts_of

LONG = "x" * 900


def settled(number: int, name: str = "order.paid") -> Settled:
    """Return the moment of a success; the id has the number."""
    return Settled(envelope(event=event(id=f"id-{number:06}", name=name)), "mail", Succeeded(), Ack(), 0.1)


@pytest.mark.parametrize("keep", [Retention(size=1024**2), Retention(age=timedelta(seconds=1))], ids=["size", "age"])
async def test_old_attempts_are_removed(broker: Broker, keep: Retention) -> None:
    """Attempts beyond the limit of size or of age disappear while new ones come; the newest ones stay."""
    log, count = broker.log(HISTORY, keep), 0
    watcher = HistoryWatcher(log.append_soon)

    async def more() -> list[str]:
        nonlocal count
        for _ in range(500):
            watcher(settled(count, LONG))
            count += 1
        watcher.flush()
        found = await eventually(lambda: newest(log, Filter(), 100_000), _has(count - 1))
        return [entry.id for entry in found]

    found = await eventually(more, lambda found: found[0] > "id-000000")

    first = int(found[0].removeprefix("id-"))
    assert found == [f"id-{number:06}" for number in range(first, count)]
    if keep.size:
        assert len(found) * len(LONG) >= keep.size // 2
    assert await oldest_time(log) is not None


async def test_the_newest_of_many(broker: Broker) -> None:
    """The last attempts are read from the end, those of one event wherever they are."""
    log = broker.log(HISTORY, Retention(timedelta(days=1)))
    watcher = HistoryWatcher(log.append_soon)
    for number in range(2000):
        watcher(settled(number, "order.rare" if number == 7 else "order.paid"))
    watcher.flush()
    await eventually(lambda: newest(log, Filter(), 1), _has(1999))

    last = await newest(log, Filter(), 3)
    rare = await newest(log, Filter(name="order.rare"), 3)
    none = await newest(log, Filter(name="order.#", queue="stats"), 3)
    one = await attempts_of(log, Wanted(ending="000042"))

    assert [entry.id for entry in last] == ["id-001997", "id-001998", "id-001999"]
    assert [entry.id for entry in rare] == ["id-000007"]
    assert none == []
    assert [entry.id for entry in one] == ["id-000042"]


def _has(number: int) -> Callable[[list[Any]], bool]:
    """Return whether the attempt of this number was read."""
    return lambda found: bool(found) and found[-1].id == f"id-{number:06}"
