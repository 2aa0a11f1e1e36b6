"""The records of settled attempts, and the CPU of processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bridge.attempt import Error
from bridge.envelope import Envelope
from bridge.moments import Begun, Settled
from bridge.outcome import Succeeded
from bridge.settlement import Ack, DeadLetter
from tests.events import new_event
from worker.bench import recording
from worker.bench.cpu import cpu_of_descendants, cpu_of_machine, cpu_seconds

PARENT = """
import subprocess, sys, time
code = "import sys; sum(range(10**6)); print('done', flush=True); sys.stdin.read()"
child = subprocess.Popen([sys.executable, "-c", code])
child.wait()
"""


def test_each_settled_attempt_is_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the time of its event, the time now, and whether it was delivered. Other moments are none."""
    file = tmp_path / "records"
    monkeypatch.setenv(recording.FILE, str(file))
    event = new_event("a.b", b"null")
    envelope = Envelope(event, round_began=event.time)
    assert recording.count(file) == 0

    recording.watch(Begun(envelope, "default"))
    recording.watch(Settled(envelope, "default", Succeeded(), Ack(), 0.1))
    dead = DeadLetter(envelope, "rejected", Error("ValueError", "no"))
    recording.watch(Settled(envelope, "default", Succeeded(), dead, 0.1))

    assert recording.count(file) == 2
    first, second = recording.read(file)
    assert first.made == event.time.timestamp() <= first.settled <= second.settled <= time.time()
    assert (first.delivered, second.delivered) == (True, False)


def test_half_a_record_is_not_read(tmp_path: Path) -> None:
    """The worker may be writing while the file is read."""
    file = tmp_path / "records"
    file.write_bytes(bytes(17 + 5))

    assert (recording.count(file), len(recording.read(file))) == (1, 1)


def test_the_cpu_of_children_is_found_through_their_parents() -> None:
    """A process, the child of its child, and not its siblings."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"done\n"
        found = cpu_of_descendants(os.getpid())
        of_parent = cpu_of_descendants(parent.pid)
        parent.communicate()

    [child] = of_parent
    assert found.keys() >= {parent.pid, child}
    assert os.getpid() not in found
    assert found[child] > 0


def test_cpu_is_counted_in_seconds() -> None:
    """That of a process grows with its work, and is a part of the machine's; a process that has ended has none."""
    before, machine_before = cpu_seconds(os.getpid()), cpu_of_machine()
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass

    assert cpu_seconds(os.getpid()) - before >= 0.1
    assert cpu_of_machine() - machine_before >= 0.05
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert cpu_seconds(ended.pid) == 0.0
