"""The tutorial, followed as a newcomer does, with real programs on SQLite and RabbitMQ."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guard import Guard
from tests.journey.page_follower import Follower
from tests.journey.site import PROGRAMS
from tests.ports import free_port
from tests.unit.docs.markdown import ROOT

PAGE = ROOT / "docs" / "tutorial.md"


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    """A guard that ends the processes of the test."""
    guard = Guard(tmp_path)
    yield guard
    guard.clear()


def is_installation(line: str) -> bool:
    """The test of the wheel installs it; here the programs of this environment are used."""
    return line.startswith(("mkdir shop", "python3 -m venv", ". .venv", "pip install"))


@pytest.mark.rabbitmq
def test_the_tutorial_can_be_followed(tmp_path: Path, guard: Guard, rabbitmq_url: str) -> None:
    """From the first file to RabbitMQ: each command works, and prints what is shown."""
    follower = Follower(
        tmp_path,
        {
            **os.environ,
            **guard.environment,
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "BRIDGE_CONTROL_DIRECTORY": str(tmp_path / "control"),
            "BRIDGE_NAMESPACE": "tutorial",
            "BRIDGE_PUBLISH_TIMEOUT": "60s",  # of a loaded machine
            "NO_PROXY": "*",
            "COLUMNS": "200",
        },
        {
            "5000": str(free_port()),
            "namespace bridge:": "namespace tutorial:",
            "bridge.unrouted": "tutorial.unrouted",
            "amqp://guest:guest@localhost/": rabbitmq_url,
        },
        is_installation,
    )
    follower.follow(PAGE.read_text("utf-8"))
    assert len(follower.typed) > 15
