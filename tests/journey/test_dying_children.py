"""Children that lose their connection and live on, or that end before their first request: in both programs."""

import os
import signal

import pytest

from tests.journey.pool_program import at
from tests.journey.site import Program, Site, eventually

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)

PROGRAMS = ["bridge-worker", "bridge-pool"]


def program(site: Site, name: str, dying: str) -> Program:
    """Start a program with one child and a spare."""
    where = ("--bind", str(at(site))) if name == "bridge-pool" else ()
    return site.run(name, "dying:app", "--children", "1", *where, DYING=dying)


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_child_that_lives_without_its_connection_frees_its_seat(site: Site, name: str) -> None:
    """A thread keeps the process alive after its main program has ended. The spare takes over, and the process ends."""
    running = program(site, name, "lingers")
    await running.says("booted and warm after")
    first, *_ = sorted(running.children)

    os.kill(first, signal.SIGTERM)

    await running.says("an idle child closed its connection, although its process lives; another child takes its place")
    await eventually(lambda: first not in running.children)


@pytest.mark.parametrize("name", PROGRAMS)
async def test_children_that_end_before_their_first_request_are_a_failed_start(site: Site, name: str) -> None:
    """The program ends with the code of an app that cannot boot, and with the reason."""
    running = program(site, name, "leaves")

    assert await running.ended() == 4
    assert "every child ended before its first request; the last one ended with exit status 9" in running.log
