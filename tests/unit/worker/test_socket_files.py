"""The files of sockets: no link is followed that another user puts in the place of one."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.config.foreign_pool import Address
from worker.control import control_socket
from worker.pool.front.listening_socket import Access, ListeningSocket
from worker.site import notices


def _notices(path: Path) -> None:
    with notices.listening(path, lambda pid, fields: None):
        pass


def _pool(path: Path) -> None:
    ListeningSocket.bound(Address(path=str(path)), Access(mode=0o660, group=os.getegid()))


@pytest.mark.parametrize("make", [control_socket.listening, _notices, _pool])
async def test_a_link_in_the_place_of_a_new_socket_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object]
) -> None:
    """The target keeps its mode and its group."""
    victim = tmp_path / "victim"
    victim.touch(0o640)
    if os.geteuid() == 0:
        os.chown(victim, -1, os.getegid() + 1)
    before = victim.stat()

    class Replaced(socket.socket):
        """Has its file replaced by a link as soon as it is bound."""

        def bind(self, address: object, /) -> None:
            super().bind(address)  # type: ignore[arg-type]
            Path(str(address)).unlink()
            Path(str(address)).symlink_to(victim)

    monkeypatch.setattr(socket, "socket", Replaced)

    with pytest.raises(Exception, match="it is a link, which is not followed"):
        make(tmp_path / "s")

    after = victim.stat()
    assert (stat.S_IMODE(after.st_mode), after.st_gid) == (stat.S_IMODE(before.st_mode), before.st_gid)
