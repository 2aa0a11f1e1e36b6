"""The control sockets: a status arrives unchanged, and any other answer becomes an `UnreadableStatus`."""

import asyncio
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bridge.config.settings import load_settings
from bridge.config.values import Values
from bridge.status import MAX_STATUS, UnreadableStatus
from tests.unit.bridge.statuses import POOL, WORKER
from worker.control import control_socket
from worker.control.control_socket import ControlSocket, ask, control_path, count_of_others, statuses_of, workers_of


def values(directory: Path, namespace: str = "bridge") -> Values:
    """Return settings whose control sockets are in this directory."""
    return load_settings(environ={}, command_line={"control_directory": str(directory), "namespace": namespace}).values


def names(directory: Path) -> list[str]:
    """Return the names of the files in a directory."""
    return [each.name for each in directory.iterdir()]


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[None]:
    """Answer one client of a socket with these bytes."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            client, _ = server.accept()
            with client, suppress(BrokenPipeError):
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


async def test_a_status_is_read_as_it_was_written(tmp_path: Path) -> None:
    """A worker and a pool differ by their kind. Those of another namespace are counted, and not asked."""
    ours, others = values(tmp_path / "control"), values(tmp_path / "control", "others")

    async with (
        ControlSocket(control_path(ours), lambda: WORKER),
        ControlSocket(control_path(ours), lambda: POOL),
        ControlSocket(control_path(others), lambda: WORKER),
    ):
        assert await asyncio.to_thread(workers_of, ours) == [WORKER]
        found = await asyncio.to_thread(statuses_of, ours)
        counted = [await asyncio.to_thread(count_of_others, each) for each in (ours, others)]

    assert sorted(found, key=lambda status: status.kind) == [POOL, WORKER]
    assert counted == [1, 2]
    assert (statuses_of(ours), count_of_others(ours)) == ([], 0)


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (b"{", "expected JSON"),
        (b'{"pid": 7, "serving": {}, "slots": []}', "its status has the format None, this program reads"),
        (b" " * (MAX_STATUS + 100_000), f"expected at most {MAX_STATUS} bytes"),
    ],
)
def test_an_answer_that_is_no_status_is_unreadable(tmp_path: Path, answer: bytes, trouble: str) -> None:
    """The reader does not fail, and reads a limited number of bytes."""
    path = tmp_path / "0123456789ab-7.sock"

    with answering(path, answer):
        status = ask(path)

    assert isinstance(status, UnreadableStatus)
    assert status.pid == 7
    assert trouble in status.trouble


def test_a_process_that_ended_has_no_status(tmp_path: Path) -> None:
    """The socket does not exist, closes before the answer, or refuses."""
    path = tmp_path / "0123456789ab-7.sock"
    assert ask(path) is None
    with answering(path, b""):
        assert ask(path) is None
    assert ask(path) is None


def test_each_site_has_its_own_path(tmp_path: Path) -> None:
    """The file's name has a hash of the site and the process id."""
    ours, others = control_path(values(tmp_path)), control_path(values(tmp_path, "others"))

    assert ours != others
    assert ours.stem.endswith(f"-{os.getpid()}")
    assert len(os.fsencode(control_path(values(Path("/" + "d" * 79))))) <= 107


@pytest.mark.parametrize("umask", [0o000, 0o777], ids=oct)
async def test_the_socket_is_for_one_user(tmp_path: Path, umask: int) -> None:
    """Whatever the umask, the directory has mode 0700 and the socket 0600, and nothing is left over."""
    path = control_path(values(tmp_path / "control"))
    before = os.umask(umask)
    try:
        async with ControlSocket(path, lambda: WORKER):
            assert [stat.S_IMODE(each.lstat().st_mode) for each in (path.parent, path)] == [0o700, 0o600]
            assert names(path.parent) == [path.name]
    finally:
        os.umask(before)

    assert names(path.parent) == []


async def test_two_processes_of_one_id_have_two_sockets(tmp_path: Path) -> None:
    """Containers that share the directory may have the same process id."""
    ours = values(tmp_path / "control")

    async with ControlSocket(control_path(ours), lambda: WORKER), ControlSocket(control_path(ours), lambda: WORKER):
        assert await asyncio.to_thread(workers_of, ours) == [WORKER, WORKER]


async def test_only_sockets_of_ended_processes_are_removed(tmp_path: Path) -> None:
    """A process that starts removes a socket at which nobody listens, whatever process id is in its name."""
    ours = values(tmp_path / "control")
    async with ControlSocket(control_path(ours), lambda: WORKER):
        alive, dead = tmp_path / "control" / "00000000-99999999.sock", tmp_path / "control" / f"0-{os.getpid()}.sock"
        with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as killed:
            listening.bind(str(alive))
            listening.listen()
            killed.bind(str(dead))
            async with ControlSocket(control_path(ours), lambda: WORKER):
                assert (alive.exists(), dead.exists()) == (True, False)


def test_a_socket_of_another_user_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader asks the kernel who answers, and reads nothing from anybody but the owner of the directory."""

    class OfStranger(socket.socket):
        def getsockopt(self, *_: object) -> bytes:  # type: ignore[override]
            return control_socket._CREDENTIALS.pack(7, 54321, 54321)

    path = tmp_path / "0123456789ab-7.sock"
    monkeypatch.setattr(socket, "socket", OfStranger)

    with answering(path, b"secret"):
        status = ask(path)

    assert status == UnreadableStatus(pid=7, trouble="user 54321 answers at its control socket, and is not believed")


def test_an_answer_that_drips_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit is for the whole answer, and not for each part of it."""
    path, stop = tmp_path / "0123456789ab-7.sock", threading.Event()
    monkeypatch.setattr(control_socket, "ANSWER_WITHIN", 0.3)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def drip() -> None:
            client, _ = server.accept()
            with client, suppress(OSError):
                while not stop.wait(0.02):
                    client.sendall(b" ")

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        status = ask(path)
        stop.set()
        thread.join()

    assert status == UnreadableStatus(pid=7, trouble="it does not answer")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("mode", "owner", "why"),
    [(0o755, None, "mode 0700; it has 0755"), (0o770, None, "has 0770"), (0o700, 54321, "this user's own")],
)
async def test_a_directory_of_others_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, owner: int | None, why: str
) -> None:
    """Others could put sockets into it: no process makes one there, and readers say why they ask nobody."""
    directory = tmp_path / "control"
    directory.mkdir()
    directory.chmod(mode)
    if owner is not None:
        monkeypatch.setattr(os, "geteuid", lambda: owner)
    ours = values(directory)

    async with ControlSocket(control_path(ours), lambda: WORKER):
        (status,) = statuses_of(ours)

    assert names(directory) == []
    assert isinstance(status, UnreadableStatus)
    assert status.trouble.startswith(f"the sockets in {directory} are not believed: expected")
    assert why in status.trouble


def test_a_link_is_no_directory_of_sockets(tmp_path: Path) -> None:
    """Somebody else can change where a link leads."""
    (tmp_path / "real").mkdir(0o700)
    (tmp_path / "control").symlink_to("real")

    (status,) = statuses_of(values(tmp_path / "control"))

    assert isinstance(status, UnreadableStatus)
    assert "expected a directory" in status.trouble
