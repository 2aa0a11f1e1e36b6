"""What the tests of this folder do again and again: start a worker, await a run, let a queue grow old."""

import asyncio

from tests.journey.site import Program, Site, eventually


async def ready_worker(site: Site, *arguments: str, **environment: str) -> Program:
    """A worker that takes events."""
    worker = site.worker(*arguments, **environment)
    await worker.says("ready for events")
    return worker


async def begun(site: Site, worker: Program, count: int) -> None:
    """Wait until so many runs have begun."""
    await eventually(lambda: len(site.effects(began=True)) >= count, report=lambda: worker.log)


async def done(site: Site, worker: Program, *ids: str) -> None:
    """Wait until these have run to their end."""
    await eventually(lambda: set(ids) <= {effect.id for effect in site.effects(began=False)}, report=lambda: worker.log)


async def said(worker: Program, text: str, times: int) -> None:
    """Wait until its log has this text so many times."""
    await eventually(lambda: worker.log.count(text) >= times, report=lambda: worker.log)


async def outlive_a_crash() -> None:
    """Wait until what was declared outlives a crash: RabbitMQ 3.10 writes it within some second."""
    await asyncio.sleep(1.5)
