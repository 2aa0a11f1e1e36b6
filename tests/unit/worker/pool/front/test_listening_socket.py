"""The listening socket of a pool: its access, its opening, and its file."""

import socket
import stat
from pathlib import Path

import pytest

from bridge.config.foreign_pool import Address
from bridge.errors import SettingsError
from worker.pool.front.listening_socket import Access, ListeningSocket


@pytest.fixture
def address(tmp_path: Path) -> Address:
    """Return the address of a path where no program listens."""
    return Address(path=str(tmp_path / "app.sock"))


def connect(address: Address) -> None:
    """Connect to the address, and disconnect."""
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
    """With a group, its members may connect. An explicit mode is used unchanged."""
    assert Access.parsed(mode, group) == expected


@pytest.mark.parametrize("mode", ["0999", "rw", "", "-1", "0o600", "01777", "٠٦٦"])
def test_an_invalid_mode_is_an_error(mode: str) -> None:
    """The error has the option, the value, and the expected form."""
    with pytest.raises(SettingsError, match=r"--socket-mode .*: expected an octal mode such as 0660"):
        Access.parsed(mode, None)


@pytest.mark.parametrize("group", ["no-such-group", "", "99999999999", "4294967295", "9" * 5000, "a\0b", "-1"])
def test_an_unknown_group_is_an_error(group: str) -> None:
    """So is the number with which the system is told to change no group."""
    with pytest.raises(SettingsError, match=r"--socket-group .*: expected the name of a group of this machine, or "):
        Access.parsed(None, group)


def test_nobody_can_connect_before_it_is_open(address: Address) -> None:
    """A bound socket refuses connections. An open one takes them."""
    listener = ListeningSocket.bound(address, Access())
    with pytest.raises(ConnectionRefusedError):
        connect(address)

    listener.open()

    connect(address)
    listener.close()


def test_a_socket_with_a_full_backlog_is_in_use(address: Address) -> None:
    """The socket takes no more connections at the moment, and is not stale."""
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(address.path))
        busy.listen(0)
        waiting.connect(str(address.path))

        with pytest.raises(SettingsError, match="a program listens there already"):
            ListeningSocket.bound(address, Access())


def test_a_path_that_another_program_has_bound_meanwhile_is_left_to_it(address: Address) -> None:
    """If another program binds the path before this one listens, opening fails, and the file is not removed."""
    ours = ListeningSocket.bound(address, Access())
    theirs = ListeningSocket.bound(address, Access())  # ours does not listen yet, and looks stale

    with pytest.raises(SettingsError, match="another program has taken its place"):
        ours.open()
    ours.close()

    theirs.open()
    connect(address)
    theirs.close()


def test_closing_removes_the_file(address: Address) -> None:
    """A second call changes nothing."""
    listener = ListeningSocket.bound(address, Access())

    listener.close()
    listener.close()

    assert not Path(str(address.path)).exists()


def test_a_directory_that_was_there_stays_as_it_is(tmp_path: Path) -> None:
    """Only a missing directory is created, and it is private."""
    tmp_path.chmod(0o755)

    ListeningSocket.bound(Address(path=str(tmp_path / "a.sock")), Access()).close()
    ListeningSocket.bound(Address(path=str(tmp_path / "made" / "a.sock")), Access()).close()

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o700


def test_a_port_that_is_taken_is_an_error() -> None:
    """The error has the option, the address, and the reason."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(SettingsError, match=rf"--bind 127\.0\.0\.1:{port}: expected .*Address already in use"):
            ListeningSocket.bound(Address(host="127.0.0.1", port=port), Access())
