"""Waits until the workers of the site run a release of the app, before letters are redriven."""

import asyncio
from collections.abc import Iterable

import click

from bridge.brokers.any_broker.roll_call import ask_site
from bridge.console.printable import printable
from bridge.console.signals import stop_on_signals
from bridge.console.site_options import Site, existing_broker
from bridge.status import WorkerStatus

LOOK_SECONDS = 2.0


async def until_released(site: Site, release: str) -> int | None:
    """Return None when at least one worker answers, and all that answer run this release in all of their children.
    Return the signal if one comes first. Workers that serve foreign pools know no release, and do not count."""
    said = ""
    async with existing_broker(site.settings()) as broker:
        with stop_on_signals(lambda: None) as stop:
            while not stop.wished.is_set():
                text = missing(release, (await ask_site(broker)).workers)
                if not text:
                    return None
                if text != said:
                    said = text
                    click.echo(printable(f"Waiting for release {release}: {text}."), err=True)
                try:
                    await asyncio.wait_for(stop.wished.wait(), LOOK_SECONDS)
                except TimeoutError:
                    continue
    return stop.by


def missing(release: str, workers: Iterable[WorkerStatus]) -> str:
    """Return why the release does not run everywhere, for people; empty if it does."""
    known = [found for worker in workers if (found := releases_of(worker))]
    ready = sum(1 for found in known if found == {release})
    if known and ready == len(known):
        return ""
    others = sorted({each for found in known for each in found} - {release})
    seen = f", others run {', '.join(others)}" if others else ""
    return f"{ready} of {len(known)} workers run it{seen}" if known else "no worker of the site answers with a release"


def releases_of(worker: WorkerStatus) -> set[str]:
    """Return the releases of the worker's children, but for those that take no further event."""
    children = (slot.release for slot in worker.slots if slot.state != "retiring")
    return {release for release in (worker.release, *children) if release is not None}
