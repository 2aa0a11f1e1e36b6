"""bridge-pool on a site, and its clients at the level of FastCGI: what the tests of it share."""

import socket
import stat
import struct
from pathlib import Path

from bridge.foreign_pool import Address
from tests.journey.site import Program, Site
from tests.journey.web_servers import cgi_fcgi

BEGIN_KEPT = struct.pack(">BBHHBxHB5x", 1, 1, 1, 8, 0, 1, 1)


def at(site: Site) -> Address:
    """Where the site's pool listens."""
    return Address(path=str(socket_of(site)))


async def pool_of(site: Site, *arguments: str, app: str = "fronted:app") -> Program:
    """Start a pool of one child and its spare, and wait until it is warm."""
    pool = site.run("bridge-pool", app, "--bind", str(at(site)), "--children", "1", *arguments)
    await pool.says("warm after")
    return pool


def pid_and_version(site: Site) -> tuple[int, str]:
    """Ask the pool who answers."""
    pid, version = cgi_fcgi(at(site), "/pid").decode().rpartition("\r\n")[2].split()
    return int(pid), version


def connected(site: Site) -> socket.socket:
    """Return a connection to the pool."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(str(socket_of(site)))
    return client


def socket_of(site: Site) -> Path:
    """Where the file of the pool's socket is, or was."""
    return site.directory / "run" / "app.sock"


def permissions(path: Path) -> int:
    """The mode of a file, without its kind."""
    return stat.S_IMODE(path.stat().st_mode)


def trace(site: Site) -> str:
    """What the app has left."""
    effects = Path(site.environment["EFFECTS"])
    return effects.read_text() if effects.exists() else ""


def request(path: str) -> bytes:
    """Return a request that asks to keep the connection."""
    told = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "REQUEST_URI": path, "SERVER_PROTOCOL": "HTTP/1.1"}
    params = b"".join(bytes([len(name), len(value)]) + f"{name}{value}".encode() for name, value in told.items())
    records = ((4, params), (4, b""), (5, b""))
    return BEGIN_KEPT + b"".join(struct.pack(">BBHHBx", 1, kind, 1, len(body), 0) + body for kind, body in records)


def answered(client: socket.socket) -> None:
    """Read until the end of a reply."""
    received = b""
    while struct.pack(">BBHH", 1, 3, 1, 8) not in received:
        piece = client.recv(65536)
        assert piece, received
        received += piece
