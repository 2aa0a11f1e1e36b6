"""The moments that watchers receive: their shortcuts, their immutability and their documentation."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

from bridge.moments import Begun, BrokerLost, Moment, Settled, Taken, tell_nobody
from bridge.outcome import Failed, Succeeded
from bridge.settlement import Ack, RetryAfter
from tests.unit.bridge.examples import ERROR, envelope, event

WATCHING = Path(__file__).parents[3] / "docs" / "watching.md"


def test_a_moment_of_a_delivery_has_its_event_and_attempt() -> None:
    """A moment of a delivery gives the event, its queue, and the attempt number within the round."""
    for kind in (Taken, Begun):
        moment = kind(envelope(spent=2), "mail")
        assert (moment.event, moment.attempt, moment.queue) == (event(), 3, "mail")


def test_a_settlement_has_its_error_and_release() -> None:
    """The error of a success is None, and so is the release of an app that sets none."""
    failed = Settled(
        envelope(), "mail", Failed(ERROR, release="v7"), RetryAfter(envelope(), timedelta(seconds=1), ERROR), 0.1
    )
    delivered = Settled(envelope(), "mail", Succeeded(), Ack(), 0.1)

    assert (failed.error, failed.release) == (ERROR, "v7")
    assert (delivered.error, delivered.release) == (None, None)


@pytest.mark.parametrize("kind", get_args(Moment))
def test_moments_are_frozen(kind: type) -> None:
    """A watcher cannot change the moment that the next watcher receives."""
    moment = kind(*(None for _ in fields(kind)))
    with pytest.raises(FrozenInstanceError):
        setattr(moment, fields(kind)[0].name, 1)


@pytest.mark.parametrize("kind", get_args(Moment))
def test_every_moment_is_documented_with_its_fields(kind: type) -> None:
    """The table in docs/watching.md names every field of a moment, or refers to the fields of `Taken`."""
    (row,) = [line for line in WATCHING.read_text("utf-8").splitlines() if line.startswith(f"| `{kind.__name__}` |")]
    shared = {"envelope", "queue"} if "as `Taken`" in row else set()
    assert [field.name for field in fields(kind) if field.name not in shared and f"`{field.name}`" not in row] == []


def test_a_moment_can_be_ignored() -> None:
    """A process without watchers passes its moments to `tell_nobody`."""
    tell_nobody(BrokerLost("away"))


def test_moments_load_nothing_that_a_web_process_does_not_need() -> None:
    """Importing `bridge.moments` loads no retry policies and no asyncio, so a web process stays small."""
    program = "import sys, bridge.moments; print(sorted({'tenacity', 'pydantic', 'asyncio'} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
