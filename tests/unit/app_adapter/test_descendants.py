"""The processes that an app forks or starts: none of a child's sockets, pipes and signal handlers reaches them."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from bridge.child_protocol import CannotBoot, Ready
from tests.limits import PATIENCE
from tests.unit.app_adapter.children import Child

APP = """
    import json, multiprocessing, os, signal, socket, subprocess, sys, time
    from pathlib import Path
    from flask import Flask
    from app_adapter import DeferredEvents

    app = Flask(__name__)
    events = DeferredEvents(app)

    def state():
        links = []
        for name in os.listdir("/proc/self/fd"):
            try:
                links.append(os.readlink(f"/proc/self/fd/{name}"))
            except FileNotFoundError:
                pass
        handlers = [repr(signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)]
        return {"sockets": [link for link in links if link.startswith("socket:")], "handlers": handlers}

    def note_copy():
        new = Path(f"copy.{os.getpid()}")
        new.write_text(str(os.getpid()))
        new.rename("copy")

    def double(number):
        return 2 * number

    @events.on("pool")
    def use_a_pool(event):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(double, [1, 2]) == [2, 4]
        pool.join()

    @events.on("process")
    def end_a_process(event):
        for _ in range(20):
            process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
            process.start()
            process.terminate()
            process.join()
            assert process.exitcode == -signal.SIGTERM, process.exitcode

    @events.on("fork.look")
    def look(event):
        if os.fork() == 0:
            Path("state.new").write_text(json.dumps(state()))
            os.rename("state.new", "state")
            os._exit(0)
        os.wait()

    @events.on("fork.return")
    def come_back(event):
        if os.fork() == 0:
            note_copy()

    @events.on("fork.raise")
    def fail(event):
        if os.fork() == 0:
            note_copy()
            raise ValueError("of the copy")

    @app.get("/fork.exit")
    def leave():
        pid = os.fork()
        if pid == 0:
            sys.exit(7)
        return str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    @events.on("program")
    def start(event):
        command = ["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"]
        Path("signals").write_text(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
"""


def await_end(pid: int) -> None:
    """Wait until a process has ended."""
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.01)


@pytest.mark.parametrize("name", ["pool", "process"])
def test_multiprocessing_can_end_its_processes(tmp_path: Path, name: str) -> None:
    """A process that a listener forks dies by SIGTERM, as it would elsewhere."""
    with Child(tmp_path, APP) as child:
        assert child.ask(name).outcome == "delivered"


def test_a_forked_copy_has_nothing_of_the_child(tmp_path: Path) -> None:
    """It has no socket, and its signals have their usual effect."""
    with Child(tmp_path, APP) as child:
        assert child.ask("fork.look").outcome == "delivered"

    state = (tmp_path / "state").read_text()
    assert '"sockets": []' in state
    assert "Handlers.SIG_DFL" in state
    assert "built-in function default_int_handler" in state
    assert "handle" not in state.replace("default_int_handler", "").replace('"handlers"', "")


@pytest.mark.parametrize("name", ["fork.return", "fork.raise"])
def test_a_copy_that_comes_back_answers_nobody(tmp_path: Path, name: str) -> None:
    """Each request has one reply, and the copy ends."""
    with Child(tmp_path, APP) as child:
        assert [child.ask(name).outcome for _ in range(3)] == ["delivered"] * 3
        await_end(int((tmp_path / "copy").read_text()))
        child.socket.shutdown(socket.SHUT_WR)
        assert child.socket.recv(1) == b""
        assert child.process.wait(PATIENCE) == 0
    assert ("ValueError: of the copy" in child.errors.read_text()) is (name == "fork.raise")


def test_a_copy_keeps_its_exit_code(tmp_path: Path) -> None:
    """The app waits for the copy, and answers."""
    with Child(tmp_path, APP) as child:
        assert child.get("/fork.exit").body == b"7"


def test_a_program_of_the_app_ignores_no_signal_of_ours(tmp_path: Path) -> None:
    """Ctrl-C ends it, for instance."""
    with Child(tmp_path, APP) as child:
        assert child.ask("program").outcome == "delivered"

    masks = dict(line.split(":") for line in (tmp_path / "signals").read_text().splitlines())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        assert not int(masks["SigIgn"], 16) >> (number - 1) & 1
        assert not int(masks["SigBlk"], 16) >> (number - 1) & 1


AT_IMPORT = """
    if os.fork() == 0:
        {copy}
"""


@pytest.mark.parametrize("copy", ["pass", "sys.exit()", "raise ValueError('of the copy')"])
def test_a_copy_that_is_forked_at_import_reports_nothing(tmp_path: Path, copy: str) -> None:
    """There is one report, and one process that serves."""
    with Child(tmp_path, APP + AT_IMPORT.format(copy=copy)) as child:
        assert isinstance(child.report, Ready)
        assert [child.ask("program").outcome for _ in range(3)] == ["delivered"] * 3


def test_a_boot_that_fails_is_seen_though_a_copy_lives(tmp_path: Path) -> None:
    """The report ends with the child, and not with what the child has forked."""
    forks = "\n    pid = os.fork()\n    if pid == 0:\n        time.sleep(60)\n    Path('copy').write_text(str(pid))\n"

    child = Child(tmp_path, APP + forks + "    os._exit(3)")

    assert not isinstance(child.report, CannotBoot | Ready)
    assert child.process.wait(PATIENCE) == 3
    os.kill(int((tmp_path / "copy").read_text()), signal.SIGKILL)
    child.__exit__()
