"""Steps that the tests of bridge-pool share: start it on a site, and be its FastCGI client."""

import socket
import stat
import struct
from pathlib import Path

from bridge.config.foreign_pool import Address
from tests.journey.site import Program, Site
from tests.journey.web_servers import cgi_fcgi
from tests.limits import PATIENCE

BEGIN_KEPT = struct.pack(">BBHHBxHB5x", 1, 1, 1, 8, 0, 1, 1)


def at(site: Site) -> Address:
    """Return the address of the site's pool."""
    return Address(path=str(socket_of(site)))


async def pool_of(site: Site, *arguments: str, app: str = "fronted:app") -> Program:
    """Start a pool of one child and a spare, and wait until a child is warm."""
    pool = site.run("bridge-pool", app, "--bind", str(at(site)), "--children", "1", *arguments)
    await pool.says("warm after")
    return pool


def pid_and_version(site: Site) -> tuple[int, str]:
    """Return the pid of the child that replies to a request, and the version of its app."""
    pid, version = cgi_fcgi(at(site), "/pid").decode().rpartition("\r\n")[2].split()
    return int(pid), version


def connected(site: Site) -> socket.socket:
    """Open a connection to the pool."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE)
    client.connect(str(socket_of(site)))
    return client


def socket_of(site: Site) -> Path:
    """Return the path of the pool's socket."""
    return site.directory / "run" / "app.sock"


def permissions(path: Path) -> int:
    """Return the permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def trace(site: Site) -> str:
    """Return the lines that the app has written to `EFFECTS`."""
    effects = Path(site.environment["EFFECTS"])
    return effects.read_text() if effects.exists() else ""


def request(path: str) -> bytes:
    """Return a GET request that asks to keep the connection."""
    return head_of(path) + struct.pack(">BBHHBx", 1, 5, 1, 0, 0)


def head_of(path: str, method: str = "GET", **further: str) -> bytes:
    """Return a request without its body and the body's end."""
    fields = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "REQUEST_URI": path,
        "SERVER_PROTOCOL": "HTTP/1.1",
        **further,
    }
    params = b"".join(bytes([len(name), len(value)]) + f"{name}{value}".encode() for name, value in fields.items())
    return BEGIN_KEPT + b"".join(
        struct.pack(">BBHHBx", 1, 4, 1, len(content), 0) + content for content in (params, b"")
    )


def answered(client: socket.socket) -> None:
    """Read a reply to its end."""
    received = b""
    while struct.pack(">BBHH", 1, 3, 1, 8) not in received:
        piece = client.recv(65536)
        assert piece, received
        received += piece
