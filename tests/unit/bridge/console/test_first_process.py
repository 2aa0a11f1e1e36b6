"""A program as the first process of a container. The tests' process gets orphans as process 1 does (a subreaper)."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.limits import PATIENCE

ROOT = Path(__file__).parents[4]

BEGIN = """
import ctypes, os, signal, subprocess, sys, time
from pathlib import Path
from bridge.console import first_process

PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
first_process.FIRST = os.getpid()
first_process.run_under_an_init()
"""

WAIT_FOR_SIGNAL = """
def end(number, frame):
    os.write(1, f"received {signal.Signals(number).name}".encode())
    sys.exit(7)

for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, end)
print("ready", flush=True)
while True:
    time.sleep(0.1)  # short, for a signal just before the call does not interrupt it
"""

ORPHAN = """
def children():
    return Path(f"/proc/{os.getppid()}/task/{os.getppid()}/children").read_text().split()

subprocess.run(["sh", "-c", "sleep 0.1 & echo $! > orphan"], check=True)
orphan = Path("orphan").read_text().strip()
assert orphan in children()
while Path(f"/proc/{orphan}").exists():
    time.sleep(0.01)
print("gone, of", len(children()))
"""


def start(program: str, folder: Path) -> "subprocess.Popen[str]":
    """Start a program that is the first process."""
    command = [sys.executable, "-c", BEGIN + program]
    return subprocess.Popen(command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("os.kill(os.getpid(), signal.SIGKILL)", 128 + 9),
        ("assert os.getpid() != first_process.FIRST", 0),
    ],
)
def test_it_exits_as_the_program_does(tmp_path: Path, program: str, code: int) -> None:
    """Also after a signal, as shells report it."""
    assert start(program, tmp_path).wait(PATIENCE) == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_reach_the_program(tmp_path: Path, number: signal.Signals) -> None:
    """The program ends by its own handler."""
    process = start(WAIT_FOR_SIGNAL, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    process.send_signal(number)

    assert process.communicate(timeout=PATIENCE)[0] == f"received {number.name}"
    assert process.returncode == 7


def test_an_orphan_does_not_stay_a_zombie(tmp_path: Path) -> None:
    """A process that outlived its parent is waited for. The program stays."""
    output, _ = start(ORPHAN, tmp_path).communicate(timeout=PATIENCE)

    assert output == "gone, of 1\n"


def test_another_process_runs_the_program_itself(tmp_path: Path) -> None:
    """A program that is not the first process makes no further one."""
    program = "import os; from bridge.console.first_process import run_under_an_init as run; pid = os.getpid(); run(); "
    program += "print(pid == os.getpid())"
    command = [sys.executable, "-c", program]

    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=True)

    assert done.stdout == b"True\n"
