"""Steps that the tests of foreign pools share: start a worker on a pool, await runs, defer raw data."""

from tests.deadlines import within
from tests.events import new_event
from tests.journey.site import Program, Site, eventually
from tests.limits import PATIENCE

RETRY = "retry = {attempts = 2, initial = '1s', base = 1, jitter = 0}\n"
PATIENT = "retry = {attempts = 10, initial = '1s', base = 1, jitter = 0}\n"
SIZES = (0, 1, 65_528, 65_535, 65_536, 1_048_576, 16 * 1_048_576)


def worker(site: Site, *arguments: str) -> Program:
    """Start a worker on the pool in the site's settings."""
    return site.run("bridge-worker", *arguments)


async def finished(site: Site, program: Program, count: int) -> None:
    """Wait until at least this many attempts have run to their end."""
    await eventually(lambda: len(site.effects(began=False)) >= count, report=lambda: program.log)


async def defer_data(site: Site, name: str, *bodies: bytes) -> list[str]:
    """Defer events with these bytes as their data; return their ids."""
    kind = "application/x-www-form-urlencoded"  # PHP parses such a body unless the pool switches that off
    made = [new_event(name, body, kind) for body in bodies]
    async with site.broker() as broker:
        publisher = broker.publisher()
        for event in made:
            await publisher.publish(event, None, deadline=within(PATIENCE))
        await publisher.close()
    return [event.id for event in made]
