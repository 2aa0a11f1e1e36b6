"""A child as the pool sees it: it boots or says why not, serves, keeps every error to itself, and ends as asked."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.app_adapter.children import SECONDS, Child

SHOP = """
    import os, subprocess, sys, time
    from flask import Flask, Response, request
    from app_adapter import DeferredEvents

    app = Flask(__name__)
    app.config["BRIDGE_RELEASE"] = "v7"
    events = DeferredEvents(app)

    @events.on("order.#")
    def listener(event):
        with open("received", "wb") as file:
            file.write(event.data)

    @events.on("slow.#")
    def slow(event):
        open("began", "w").close()
        while not os.path.exists("go on"):
            time.sleep(0.01)

    @events.on("exit")
    def leave(event):
        os._exit(9)

    @events.on("start.process")
    def start(event):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)

    @events.on("fork")
    def fork(event):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)

    @events.on("noisy")
    def noisy(event):
        request.environ["wsgi.errors"].write("\\udcff" + "x" * 10_000_000)

    @app.get("/big")
    def big():
        return Response([b"x" * (64 * 1024 * 1024)])
"""


def await_file(path: Path) -> None:
    """Await that the file is there."""
    deadline = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.01)


def test_it_says_that_it_is_ready(tmp_path: Path) -> None:
    """The ready message carries what the worker compares and shows."""
    with Child(tmp_path, SHOP) as child:
        ready = child.report["ready"]

    assert ready["boot_seconds"] >= 0
    assert (ready["release"], ready["host"]) == ("v7", "localhost")
    assert ready["settings"] == {
        "broker_url": f"sqlite:///{tmp_path}/bridge.db",
        "namespace": "bridge",
        "replay_path": "/_bridge",
    }


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1024**2])
def test_a_body_arrives_byte_for_byte(tmp_path: Path, size: int) -> None:
    """Whatever its size and bytes."""
    data = (bytes(range(256)) * (size // 256 + 1))[:size]

    with Child(tmp_path, SHOP) as child:
        reply = child.ask(data=data)

    assert reply.outcome == "delivered"
    assert (tmp_path / "received").read_bytes() == data


def test_one_connection_serves_many_requests(tmp_path: Path) -> None:
    """The connection is kept."""
    with Child(tmp_path, SHOP) as child:
        assert [child.ask().outcome for _ in range(50)] == ["delivered"] * 50


@pytest.mark.parametrize("target", ["shop", "shop:app", "shop.py", "factory:create_app()", "factory:create_app('x')"])
def test_the_app_is_named_as_flask_names_it(tmp_path: Path, target: str) -> None:
    """A module, a file, a factory."""
    (tmp_path / "factory.py").write_text("def create_app(name=''):\n    from shop import app\n    return app\n")

    with Child(tmp_path, SHOP, target) as child:
        assert "ready" in child.report


def test_an_app_may_have_a_worker_of_its_own(tmp_path: Path) -> None:
    """Of our packages only two are in the process; the app's directory comes before the others."""
    (tmp_path / "worker.py").write_text("answer = 42")

    with Child(tmp_path, SHOP + "\n    from worker import answer") as child:
        assert "ready" in child.report


def test_a_module_of_our_name_is_warned_about(tmp_path: Path) -> None:
    """It cannot be imported here, so the app is told which."""
    (tmp_path / "bridge.py").write_text("")

    with Child(tmp_path, SHOP) as child:
        assert "ready" in child.report

    assert f"warning: {tmp_path}/bridge.py cannot be imported here" in child.errors.read_text()


FAILURES = [
    ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
    ("raise ValueError('broken at import')", "ValueError: broken at import"),
    ("import sys; sys.exit('usage: shop')", "SystemExit: usage: shop"),
    ("x = 1", "Failed to find Flask application or factory in module 'shop'"),
    ("from flask import Flask; app = Flask('shop')", "events = DeferredEvents(app)"),
]
ASYNC = """
    sys.modules["asgiref"] = None  # as where it is not installed

    @events.on("order.#")
    async def later(event):
        pass
"""


def test_a_setting_that_cannot_be_used_is_said_without_a_traceback(tmp_path: Path) -> None:
    """The sentence has all that is needed."""
    with Child(tmp_path, SHOP.replace('"BRIDGE_RELEASE"', '"BRIDGE_CHILDREN"')) as child:
        assert child.failed.startswith("children = 'v7' (from Flask's config): expected it in bridge.toml")
        assert "\n" not in child.failed


def test_an_async_listener_without_the_means_to_call_it_cannot_boot(tmp_path: Path) -> None:
    """Else each of its events would fail."""
    with Child(tmp_path, SHOP + ASYNC) as child:
        assert child.failed.startswith("the listener 'shop:later' cannot be called: install flask[async]")


@pytest.mark.parametrize(("source", "why"), FAILURES)
def test_an_app_that_cannot_boot_says_why(tmp_path: Path, source: str, why: str) -> None:
    """The message has the traceback or the sentence that helps; the exit code is 1."""
    target = "shop" if source == "x = 1" else "shop:app"

    with Child(tmp_path, source, target) as child:
        assert why in child.failed


WALLS = [
    ("redirect('/login?next=x')", ["status 302", "/login?next=x"]),
    ("Response('welcome, whoever you are')", ["status 200", "welcome, whoever you are"]),
    ("Response('x' * 3_000_000)", ["status 200", "xxx"]),
    ("abort(400, 'no CSRF token')", ["status 400", "no CSRF token"]),
    ("1 / 0", ["status 500", "ZeroDivisionError"]),
]


@pytest.mark.parametrize(("answer", "quoted"), WALLS)
def test_an_app_that_answers_in_the_receivers_place_never_gets_ready(
    tmp_path: Path, answer: str, quoted: list[str]
) -> None:
    """The message quotes the reply, and says what has to let the replay pass."""
    wall = f"""
    from flask import abort, redirect

    @app.before_request
    def wall():
        return {answer}
    """

    with Child(tmp_path, SHOP + wall) as child:
        failed = child.failed

    for part in [*quoted, "'bridge_replay'"]:
        assert part in failed


def test_a_large_answer_is_not_slow(tmp_path: Path) -> None:
    """64 MiB in one piece are written in far less than the minutes that flup takes."""
    with Child(tmp_path, SHOP) as child:
        began = time.monotonic()
        reply = child.get("/big")

        assert time.monotonic() - began < 20
        assert len(reply.body) == 64 * 1024 * 1024
        assert child.ask().outcome == "delivered"


def test_much_error_output_is_not_slow_and_of_any_kind(tmp_path: Path) -> None:
    """10 MB with a lone surrogate among them reach the worker, and the verdict counts."""
    with Child(tmp_path, SHOP) as child:
        reply = child.ask("noisy")

    assert reply.outcome == "delivered"
    assert reply.errors == b"\\udcff" + b"x" * 10_000_000


def test_sigterm_ends_an_idle_child_at_once(tmp_path: Path) -> None:
    """Nothing runs, so there is nothing to wait for."""
    with Child(tmp_path, SHOP) as child:
        child.ask()
        began = time.monotonic()
        child.signal(signal.SIGTERM)

        assert child.process.wait(SECONDS) == 0
        assert time.monotonic() - began < 1.5


def test_sigterm_lets_the_running_request_finish(tmp_path: Path) -> None:
    """Its reply still comes, and then the child ends."""
    with Child(tmp_path, SHOP) as child:
        child.send("slow.one")
        await_file(tmp_path / "began")
        child.signal(signal.SIGTERM)
        (tmp_path / "go on").touch()

        assert child.receive().outcome == "delivered"
        child.socket.shutdown(socket.SHUT_WR)
        assert child.process.wait(SECONDS) == 0


def test_sigint_is_the_workers(tmp_path: Path) -> None:
    """Ctrl-C reaches the whole group in a terminal; the child goes on until the worker ends it."""
    with Child(tmp_path, SHOP) as child:
        child.signal(signal.SIGINT)

        assert child.ask().outcome == "delivered"


def test_the_end_of_the_stream_ends_it(tmp_path: Path) -> None:
    """The worker closes, or is gone."""
    with Child(tmp_path, SHOP) as child:
        child.socket.close()

        assert child.process.wait(SECONDS) == 0


def test_a_client_that_leaves_in_mid_body_ends_it_in_good_order(tmp_path: Path) -> None:
    """Half a body reaches no listener."""
    with Child(tmp_path, SHOP) as child:
        child.send(CONTENT_LENGTH="2")
        child.receive()
        (tmp_path / "received").unlink()
        begun = b"\1\1\0\7\0\x08\0\0" + b"\0\1\1\0\0\0\0\0" + b"\1\4\0\7\0\x12\0\0" + b"\x0e\x02CONTENT_LENGTH50"
        child.socket.sendall(begun + b"\1\4\0\7\0\0\0\0" + b"\1\5\0\7\0\1\0\0x")
        child.socket.close()

        assert child.process.wait(SECONDS) == 0
    assert not (tmp_path / "received").exists()


def test_a_pair_may_be_split_over_two_records(tmp_path: Path) -> None:
    """PARAMS is a stream, whose records may end anywhere."""
    with Child(tmp_path, SHOP) as child:
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
    """No traceback, one line, exit code 1."""
    with Child(tmp_path, SHOP) as child:
        child.socket.sendall(data)
        child.socket.shutdown(socket.SHUT_WR)

        assert child.process.wait(SECONDS) == 1
    assert child.errors.read_text().startswith("the FastCGI client broke the protocol: ")


def test_a_handler_that_exits_the_process_is_seen_at_once(tmp_path: Path) -> None:
    """The stream ends without a reply."""
    with Child(tmp_path, SHOP) as child:
        child.send("exit")

        assert child.socket.recv(1) == b""
        assert child.process.wait(SECONDS) == 9


@pytest.mark.parametrize("how", ["start.process", "fork"])
def test_what_the_app_starts_does_not_keep_the_stream_open(tmp_path: Path, how: str) -> None:
    """The worker must see the child's death, whatever the child has started."""
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
    """A child in the midst of a handler dies with the process that started it."""
    Child(tmp_path, SHOP).__exit__()
    source = ORPHAN.format(root=str(Path(__file__).parents[3]), directory=str(tmp_path))
    parent = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())

    parent.kill()
    parent.communicate()

    deadline = time.monotonic() + SECONDS
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.01)
