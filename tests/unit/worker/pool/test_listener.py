"""The listening socket of a pool: who may connect, when, and whose file it is."""

import socket
import stat
from pathlib import Path

import pytest

from bridge.errors import SettingsError
from bridge.foreign_pool import Address
from worker.pool.listener import Access, Listener


@pytest.fixture
def address(tmp_path: Path) -> Address:
    """A path where nobody listens."""
    return Address(path=str(tmp_path / "app.sock"))


def connect(address: Address) -> None:
    """Connect and hang up."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(address.path))


@pytest.mark.parametrize(
    ("mode", "group", "expected"),
    [
        (None, None, Access(0o600, None)),
        (None, "0", Access(0o660, 0)),
        (None, "root", Access(0o660, 0)),
        ("0666", None, Access(0o666, None)),
        ("640", "0", Access(0o640, 0)),
    ],
)
def test_access_is_for_the_owner_unless_a_group_is_named(mode: str | None, group: str | None, expected: Access) -> None:
    """A group may read and write; a mode is what was said."""
    assert Access.parsed(mode, group) == expected


@pytest.mark.parametrize("mode", ["0999", "rw", "", "-1", "0o600", "01777", "٠٦٦"])
def test_a_mode_that_is_none_is_named(mode: str) -> None:
    """The option, the value, and what was expected."""
    with pytest.raises(SettingsError, match=r"--socket-mode .*: expected an octal mode such as 0660"):
        Access.parsed(mode, None)


def test_nobody_can_connect_before_it_is_open(address: Address) -> None:
    """Bound, it refuses; opened, it takes."""
    listener = Listener.bound(address, Access())
    with pytest.raises(ConnectionRefusedError):
        connect(address)

    listener.open()

    connect(address)
    listener.close()


def test_a_full_backlog_is_somebody_who_listens(address: Address) -> None:
    """A socket that takes no more at the moment is not stale."""
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(address.path))
        busy.listen(0)
        waiting.connect(str(address.path))

        with pytest.raises(SettingsError, match="somebody listens there already"):
            Listener.bound(address, Access())


def test_a_place_that_was_taken_meanwhile_is_not_fought_for(address: Address) -> None:
    """Where another has bound the path before we listen, that is an error, and the file is the other's."""
    ours = Listener.bound(address, Access())
    theirs = Listener.bound(address, Access())  # ours does not listen yet, and looks stale

    with pytest.raises(SettingsError, match="another program has taken its place"):
        ours.open()
    ours.close()

    theirs.open()
    connect(address)
    theirs.close()


def test_it_leaves_nothing_behind(address: Address) -> None:
    """Closed, it has removed its file; twice is no harm."""
    listener = Listener.bound(address, Access())

    listener.close()
    listener.close()

    assert not Path(str(address.path)).exists()


def test_a_directory_that_was_there_stays_as_it_is(tmp_path: Path) -> None:
    """Only a directory that is missing is made, and private."""
    tmp_path.chmod(0o755)

    Listener.bound(Address(path=str(tmp_path / "a.sock")), Access()).close()
    Listener.bound(Address(path=str(tmp_path / "made" / "a.sock")), Access()).close()

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o700


def test_a_port_that_is_taken_is_named() -> None:
    """The option, the address, and why."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(SettingsError, match=rf"--bind 127\.0\.0\.1:{port}: expected .*Address already in use"):
            Listener.bound(Address(host="127.0.0.1", port=port), Access())
