"""The doctor's findings about this machine: installation, workers, spool."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.brokers.contract.findings import FindingState
from bridge.config.sidekiq_settings import SidekiqSettings
from bridge.config.store_settings import StoreSettings
from bridge.config.values import Values
from bridge.controls import Pause
from bridge.ledger import Dead
from bridge.publishing.sidekiq.summary import Found
from bridge.publishing.spool.summary import Spooled
from bridge.publishing.stores import Waiting
from bridge.status import QueueStatus, UnreadableStatus, WorkerStatus
from deferred_event_bridge.hidden_packages import HiddenPackage
from tests.unit.bridge.statuses import SERVING, WORKER
from worker.doctor import installation, ledger, outboxes, pauses, sidekiq, spool, workers

NOW = datetime(2030, 1, 1, tzinfo=UTC)
PATH = Path("/var/lib/shop/bridge-spool.db")


def test_a_module_that_hides_ours() -> None:
    """The module is named once, although it was found twice."""
    theirs = HiddenPackage("worker", Path("/srv/shop/worker.py"))

    (found,) = installation.judge([theirs, theirs], {})

    assert found.sentence.startswith("/srv/shop/worker.py hides the package 'worker' of deferred-event-bridge")
    assert (found.next_step or "").startswith("rename it")


def test_a_distribution_with_a_package_of_our_name() -> None:
    """The finding names the distribution, and how to remove it."""
    (found,) = installation.judge([], {"bridge-of-theirs": "bridge"})

    assert found.sentence == "bridge-of-theirs has installed a package named bridge as well: one overwrites the other"
    assert (found.next_step or "").endswith("pip uninstall bridge-of-theirs")


def test_this_installation_is_well() -> None:
    """The tests' own installation has no fault."""
    assert [finding.state for finding in installation.examine()] == [FindingState.OK]


def test_workers() -> None:
    """Each worker gets a finding: one is well, one does not answer, one begins its events late."""

    def worker(pid: int, late: float) -> WorkerStatus:
        return replace(WORKER, pid=pid, serving=replace(SERVING, late=late, deadline=60.0))

    found = workers.judge([worker(7, 359.0), UnreadableStatus(pid=8, trouble="it does not answer"), worker(9, 7260.0)])

    assert [(finding.state, finding.sentence) for finding in found] == [
        (FindingState.OK, "process 7 takes events and settles them"),
        (FindingState.WRONG, "process 8 is not ready: it does not answer"),
        (FindingState.WRONG, "process 9 runs events 7200 s after they were due"),
    ]


def test_a_queue_that_a_breaker_holds() -> None:
    """The finding names the queue and why it is held. That its events are late follows from it."""
    queues = {"mail": QueueStatus(live=True, breaker="its breaker: 5 events in a row failed alike")}

    (found,) = workers.judge([replace(WORKER, pid=7, serving=replace(SERVING, queues=queues, late=7260.0))])

    assert (found.state, found.sentence) == (
        FindingState.WRONG,
        "process 7: queue mail waits: its breaker: 5 events in a row failed alike",
    )


def test_no_worker_here_is_no_fault() -> None:
    """Workers may run on another machine. The broker's findings show whether a worker takes events."""
    assert [finding.state for finding in workers.judge([])] == [FindingState.OK]


@pytest.mark.parametrize(
    ("found", "state", "sentence"),
    [
        (Waiting(), FindingState.OK, "is empty"),
        (Waiting(3, NOW - timedelta(seconds=5)), FindingState.OK, "holds 3 events, the oldest for 5 s"),
        (Waiting(1, NOW - timedelta(hours=1)), FindingState.WRONG, "holds 1 event, the oldest for 3600 s"),
    ],
)
def test_an_outbox(found: Waiting, state: FindingState, sentence: str) -> None:
    """Events that wait for seconds are normal."""
    finding = outboxes.judge("shop", found, NOW)

    assert (finding.state, finding.sentence) == (state, f"shop {sentence}")


@pytest.mark.parametrize(
    ("found", "judged"),
    [
        (Found(), [(FindingState.OK, "holds 0 jobs for this site")]),
        (Found(2, NOW - timedelta(seconds=5)), [(FindingState.OK, "holds 2 jobs for this site")]),
        (
            Found(1, NOW - timedelta(hours=1)),
            [(FindingState.WRONG, "holds 1 job for this site, the oldest for 3600 s")],
        ),
        (
            Found(3, NOW, abandoned=2),
            [
                (
                    FindingState.WRONG,
                    "holds 3 jobs for this site; 2 of them were with a relay that was killed",
                )
            ],
        ),
        (
            Found(staying={"jobs of class 'X'": 2}, stays_since=NOW),
            [(FindingState.OK, "holds 0 jobs for this site"), (FindingState.OK, "jobs of class 'X' (2) stay in Redis")],
        ),
        (
            Found(staying={"jobs of class 'X'": 2}, stays_since=NOW - timedelta(hours=1)),
            [
                (FindingState.OK, "holds 0 jobs for this site"),
                (FindingState.WRONG, "jobs of class 'X' (2) stay in Redis, the oldest for 3600 s"),
            ],
        ),
        (
            Found(staying={"jobs that are not JSON": 1}),
            [
                (FindingState.OK, "holds 0 jobs for this site"),
                (FindingState.WRONG, "jobs that are not JSON (1) stay in Redis"),
            ],
        ),
    ],
)
def test_a_queue_of_sidekiq(found: Found, judged: list[tuple[FindingState, str]]) -> None:
    """Jobs that wait for seconds are normal, of this site or of a Sidekiq."""
    findings = sidekiq.judge("old", found, NOW)

    assert [(each.state, each.sentence.removeprefix("old").lstrip(" :")) for each in findings] == judged


async def test_a_queue_of_sidekiq_that_cannot_be_read(tmp_path: Path) -> None:
    """The finding names the server, and who needs it."""
    values = Values(stores={"old": SidekiqSettings(f"unix://{tmp_path}/none.sock", classes={"A": "a"})})

    (finding,) = await sidekiq.examine(values)

    assert finding.state is FindingState.WRONG
    assert f"old: unix://{tmp_path}/none.sock: " in finding.sentence


async def test_an_outbox_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing tables are wrong, with the command that prints them."""
    values = Values(stores={"shop": StoreSettings(f"sqlite:///{tmp_path}/shop.db")})

    (finding,) = await outboxes.examine(values)

    assert finding.state is FindingState.WRONG
    assert "no such table: bridge_outbox; `bridge-outbox ddl` prints" in finding.sentence


@pytest.mark.parametrize(
    ("found", "state", "sentence"),
    [
        (Spooled(), FindingState.OK, "is empty"),
        (Spooled(3, NOW - timedelta(seconds=5), 1000), FindingState.OK, "holds 3 events, the oldest for 5 s; 0% full"),
        (
            Spooled(1, NOW - timedelta(hours=1), 1000),
            FindingState.WRONG,
            "holds 1 event, the oldest for 3600 s; 0% full",
        ),
        (Spooled(9, NOW, 900_000), FindingState.WRONG, "holds 9 events, the oldest for 0 s; 90% full"),
        (Spooled(9, None, 1000), FindingState.OK, "holds 9 events, the oldest for 0 s; 0% full"),
    ],
)
def test_the_spool(found: Spooled, state: FindingState, sentence: str) -> None:
    """Events that wait for seconds are normal. Events that wait longer, or a nearly full spool, are wrong."""
    finding = spool.judge(PATH, found, 1_000_000, NOW)

    assert (finding.state, finding.sentence) == (state, f"{PATH} {sentence}")


def test_a_ledger_without_a_key_says_who_can_write_it() -> None:
    """All is well, and the line says that nothing is signed."""
    found = ledger.signatures([], signed=False)

    assert found.state is FindingState.OK
    assert found.sentence.startswith("not signed: who may publish")


def test_open_letters_that_are_not_believed_are_named() -> None:
    """With a key, unsigned open letters are wrong; without any the ledger is in order."""
    forged = Dead(7, NOW, "mail", "rejected", "1", "order.paid", "E", "m", 1, believed=False)

    found = ledger.signatures([forged], signed=True)

    assert (found.state, found.sentence) == (
        FindingState.WRONG,
        "1 open letter without a valid signature, by number 7",
    )
    assert ledger.signatures([], signed=True).state is FindingState.OK


def test_a_paused_queue() -> None:
    """The finding says who paused it and why, and the next step looks first."""
    paused = Pause("p1", "mail", None, None, "ana@web1", "provider down", NOW)

    (found,) = pauses.judge([paused])

    assert (found.state, found.sentence) == (FindingState.WRONG, "queue mail paused by ana@web1: provider down")
    assert found.next_step == "bridge-queues show mail; bridge-queues resume mail"
    assert [each.state for each in pauses.judge([])] == [FindingState.OK]
