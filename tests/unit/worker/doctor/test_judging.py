"""What the doctor makes of this machine: installations, workers, the spool."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.brokers.spool.reading import Spooled
from bridge.findings import State
from worker.doctor import installation, spool, workers
from worker.workers import Worker

ROOT = Path("/usr/lib/python3/site-packages")
NOW = datetime(2030, 1, 1, tzinfo=UTC)
PATH = Path("/var/lib/shop/bridge-spool.db")


def test_our_own_packages() -> None:
    """Found where ours are, brought by nobody else: well."""
    (found,) = installation.judge(ROOT, [ROOT / "bridge", ROOT / "worker"], {})

    assert found.state is State.OK


def test_a_module_that_shadows_ours() -> None:
    """It is named once, however it was found."""
    theirs = Path("/srv/shop/worker.py")

    (found,) = installation.judge(ROOT, [ROOT / "bridge", theirs, theirs], {})

    assert found.sentence == f"{theirs} shadows our package worker, which is in {ROOT}"


def test_a_distribution_with_a_package_of_our_name() -> None:
    """Both are installed, and one has overwritten the other."""
    (found,) = installation.judge(ROOT, [], {"bridge-of-theirs": "bridge"})

    assert found.sentence == "bridge-of-theirs has installed a package named bridge as well: one overwrites the other"
    assert (found.next_step or "").endswith("pip uninstall bridge-of-theirs")


def test_this_installation_is_well() -> None:
    """The one that the tests run in."""
    assert [finding.state for finding in installation.examine()] == [State.OK]


def test_workers() -> None:
    """Each is told of, and why it is not ready."""
    found = workers.judge([Worker(7, None, 299.0), Worker(8, "it does not answer"), Worker(9, None, 7200.0)])

    assert [(finding.state, finding.sentence) for finding in found] == [
        (State.OK, "process 7 takes events and gets on with them"),
        (State.WRONG, "process 8 is not ready: it does not answer"),
        (State.WRONG, "process 9 runs events 7200 s after they were due"),
    ]


def test_no_worker_here_is_no_fault() -> None:
    """They may be on another machine; whether somebody takes events is the broker's to say."""
    assert [finding.state for finding in workers.judge([])] == [State.OK]


@pytest.mark.parametrize(
    ("found", "state", "said"),
    [
        (Spooled(), State.OK, "is empty"),
        (Spooled(3, NOW - timedelta(seconds=5), 1000), State.OK, "holds 3 events, the oldest for 5 s; 0% full"),
        (Spooled(1, NOW - timedelta(hours=1), 1000), State.WRONG, "holds 1 event, the oldest for 3600 s; 0% full"),
        (Spooled(9, NOW, 900_000), State.WRONG, "holds 9 events, the oldest for 0 s; 90% full"),
        (Spooled(9, None, 1000), State.OK, "holds 9 events, the oldest for 0 s; 0% full"),
    ],
)
def test_the_spool(found: Spooled, state: State, said: str) -> None:
    """What waits for seconds is on its way; what waits longer, or fills the spool, asks for somebody."""
    finding = spool.judge(PATH, found, 1_000_000, NOW)

    assert (finding.state, finding.sentence) == (state, f"{PATH} {said}")
