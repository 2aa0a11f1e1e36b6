"""A child at work, as the pool sees it: it serves, keeps errors to one request, and ends when asked to."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bridge.child_protocol import StartToken, write_tokens
from tests.limits import PATIENCE
from tests.unit.app_adapter.children import SHOP, Child


def await_file(path: Path) -> None:
    """Wait until the file is there."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.01)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1024**2])
def test_a_body_arrives_byte_for_byte(tmp_path: Path, size: int) -> None:
    """This holds for every size and for all bytes."""
    data = (bytes(range(256)) * (size // 256 + 1))[:size]

    with Child(tmp_path, SHOP) as child:
        reply = child.ask(data=data)

    assert reply.outcome == "delivered"
    assert (tmp_path / "received").read_bytes() == data


def test_one_connection_serves_many_requests(tmp_path: Path) -> None:
    """The connection stays open."""
    with Child(tmp_path, SHOP) as child:
        assert [child.ask().outcome for _ in range(50)] == ["delivered"] * 50


def test_a_large_answer_is_not_slow(tmp_path: Path) -> None:
    """64 MiB in one piece are written in far less than the minutes that flup takes."""
    with Child(tmp_path, SHOP) as child:
        began = time.monotonic()
        reply = child.get("/big")

        assert time.monotonic() - began < 40
        assert len(reply.body) == 64 * 1024 * 1024
        assert child.ask().outcome == "delivered"


def test_much_error_output_is_not_slow_and_of_any_kind(tmp_path: Path) -> None:
    """10 MB with a lone surrogate reach the worker, and the verdict counts."""
    with Child(tmp_path, SHOP) as child:
        reply = child.ask("noisy")

    assert reply.outcome == "delivered"
    assert reply.errors == b"\\udcff" + b"x" * 10_000_000


def test_sigterm_ends_an_idle_child_at_once(tmp_path: Path) -> None:
    """No request runs, so there is nothing to wait for."""
    with Child(tmp_path, SHOP) as child:
        child.ask()
        began = time.monotonic()
        child.signal(signal.SIGTERM)

        assert child.process.wait(PATIENCE) == 0
        assert time.monotonic() - began < 30


def test_sigterm_lets_the_running_request_finish(tmp_path: Path) -> None:
    """The reply is sent, and then the child ends."""
    with Child(tmp_path, SHOP) as child:
        child.send("slow.one")
        await_file(tmp_path / "began")
        child.signal(signal.SIGTERM)
        (tmp_path / "go on").touch()

        assert child.receive().outcome == "delivered"
        child.socket.shutdown(socket.SHUT_WR)
        assert child.process.wait(PATIENCE) == 0


def test_sigint_is_the_workers(tmp_path: Path) -> None:
    """Ctrl-C in a terminal reaches the whole group. The child goes on until the worker ends it."""
    with Child(tmp_path, SHOP) as child:
        child.signal(signal.SIGINT)

        assert child.ask().outcome == "delivered"


def test_the_end_of_the_stream_ends_it(tmp_path: Path) -> None:
    """The worker has closed the stream, or has ended."""
    with Child(tmp_path, SHOP) as child:
        child.socket.close()

        assert child.process.wait(PATIENCE) == 0


def test_a_client_that_leaves_in_mid_body_ends_the_child_without_an_error(tmp_path: Path) -> None:
    """No listener is called with half a body."""
    with Child(tmp_path, SHOP) as child:
        child.send(CONTENT_LENGTH="2")
        child.receive()
        (tmp_path / "received").unlink()
        child.tokens.sendall(write_tokens([StartToken(7, marked=False)]))
        begun = b"\1\1\0\7\0\x08\0\0" + b"\0\1\1\0\0\0\0\0" + b"\1\4\0\7\0\x12\0\0" + b"\x0e\x02CONTENT_LENGTH50"
        child.socket.sendall(begun + b"\1\4\0\7\0\0\0\0" + b"\1\5\0\7\0\1\0\0x")
        child.socket.close()

        assert child.process.wait(PATIENCE) == 0
    assert not (tmp_path / "received").exists()


def test_a_pair_may_be_split_over_two_records(tmp_path: Path) -> None:
    """PARAMS is a stream, whose records may end anywhere."""
    with Child(tmp_path, SHOP) as child:
        child.tokens.sendall(write_tokens([StartToken(7, marked=False)]))
        begun = b"\1\1\0\7\0\x08\0\0" + b"\0\1\1\0\0\0\0\0"
        pair = b"\x0e\x03REQUEST_METHODGET"
        for part in (pair[:9], pair[9:], b"\x0b\x01SCRIPT_NAME/", b""):
            begun += b"\1\4\0\7" + len(part).to_bytes(2, "big") + b"\0\0" + part
        child.socket.sendall(begun + b"\1\5\0\7\0\0\0\0")
        reply = b""
        while not reply.endswith(b"\1\3\0\7\0\x08\0\0" + bytes(8)):
            piece = child.socket.recv(65536)
            assert piece, reply
            reply += piece
    assert b"Status: " in reply


MALFORMED = [
    b"\2\1\0\1\0\x08\0\0" + bytes(8),  # version 2
    b"\1\1\0\1\0\1\0\0x",  # a BEGIN_REQUEST of one byte
    b"\1\1\0\1\0\x08\0\0" + b"\0\1\1\0\0\0\0\0" + b"\1\4\0\1\0\1\0\0\xff" + b"\1\4\0\1\0\0\0\0",  # a length cut off
]


@pytest.mark.parametrize("data", MALFORMED)
def test_a_broken_protocol_ends_it_with_a_sentence(tmp_path: Path, data: bytes) -> None:
    """There is one line and no traceback; the exit code is 1."""
    with Child(tmp_path, SHOP) as child:
        child.socket.sendall(data)
        child.socket.shutdown(socket.SHUT_WR)

        assert child.process.wait(PATIENCE) == 1
    assert child.errors.read_text().startswith("the FastCGI client broke the protocol: ")


def test_a_handler_that_exits_the_process_is_seen_at_once(tmp_path: Path) -> None:
    """The stream ends without a reply."""
    with Child(tmp_path, SHOP) as child:
        child.send("exit")

        assert child.socket.recv(1) == b""
        assert child.process.wait(PATIENCE) == 9


@pytest.mark.parametrize("how", ["start.process", "fork"])
def test_processes_of_the_app_do_not_keep_the_stream_open(tmp_path: Path, how: str) -> None:
    """The worker must see that the child has ended, even if processes that it started go on."""
    with Child(tmp_path, SHOP) as child:
        child.ask(how)
        child.process.kill()

        assert child.socket.recv(1) == b""


ORPHAN = """
import subprocess, sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.unit.app_adapter.children import Child
child = Child(Path({directory!r}), None)
print(child.process.pid, flush=True)
time.sleep(60)
"""


def test_no_orphan_outlives_its_parent(tmp_path: Path) -> None:
    """A child that is in a handler dies with the process that started it."""
    Child(tmp_path, SHOP).__exit__()
    source = ORPHAN.format(root=str(Path(__file__).parents[3]), directory=str(tmp_path))
    parent = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())

    parent.kill()
    parent.communicate()

    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.01)
