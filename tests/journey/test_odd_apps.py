"""Apps that change their process: its sockets, its standard streams, its modules. Children serve them all the same."""

import asyncio
import os
import subprocess

import pytest

from tests.journey.pool_program import at, pid_and_version, pool_of, trace
from tests.journey.site import PROGRAMS, Site
from tests.journey.web_servers import cgi_fcgi

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)

ODD = [
    *("a default timeout", "streams without flush", "no streams", "closed streams", "closed descriptors"),
    "patched modules",
]


@pytest.mark.parametrize("odd", ODD)
async def test_an_odd_app_is_served(site: Site, odd: str) -> None:
    """It is imported by a nursery, serves web requests, one of them slowly, and replays."""
    site.environment["ODD"] = odd
    await pool_of(site, "--preload", app="odd:app")

    assert pid_and_version(site)[1] == "one"
    assert (await asyncio.to_thread(cgi_fcgi, at(site), "/slow/0.2")).endswith(b"slow")
    assert pid_and_version(site)[1] == "one"

    (event_id,) = await site.defer("account.created")
    worker = site.run("bridge-worker", "odd:app", "--children", "1", "--until-settled")
    assert await worker.ended() == 0
    assert f"replayed {event_id}" in trace(site)


async def test_a_program_may_be_started_without_standard_streams(site: Site) -> None:
    """Its sockets get other descriptors, and its children have an output."""
    (event_id,) = await site.defer("account.created")
    command = f"exec {PROGRAMS}/bridge-worker fronted:app --children 1 --until-settled <&- >&- 2>&-"

    ran = await asyncio.to_thread(
        subprocess.run, ["sh", "-c", command], cwd=site.directory, env={**os.environ, **site.environment}, check=False
    )

    assert ran.returncode == 0
    assert f"replayed {event_id}" in trace(site)
