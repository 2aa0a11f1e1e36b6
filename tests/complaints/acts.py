"""Steps that the tests of this folder share: start a worker, await runs, await a log line."""

import asyncio

from tests.journey.site import Program, Site, eventually


async def ready_worker(site: Site, *arguments: str, **environment: str) -> Program:
    """Start a worker; return it when it takes events."""
    worker = site.worker(*arguments, own_boot=False, **environment)
    await worker.says("ready for events")
    return worker


async def begun(site: Site, worker: Program, count: int) -> None:
    """Wait until at least this many runs have begun."""
    await eventually(lambda: len(site.effects(began=True)) >= count, report=lambda: worker.log)


async def done(site: Site, worker: Program, *ids: str) -> None:
    """Wait until these events have run to their end."""
    await eventually(lambda: set(ids) <= {effect.id for effect in site.effects(began=False)}, report=lambda: worker.log)


async def said(worker: Program, text: str, times: int) -> None:
    """Wait until the worker's log has this text at least `times` times."""
    await eventually(lambda: worker.log.count(text) >= times, report=lambda: worker.log)


async def outlive_a_crash() -> None:
    """Wait until declared queues survive a crash: RabbitMQ 3.10 writes them to the disk after about a second."""
    await asyncio.sleep(1.5)
