"""Private Redis servers for tests: they start, break, restart and are removed, as RabbitMQ nodes are. They share
nothing with a server that already runs."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import redis

from tests.certificates import Authority, Certificate
from tests.guard import Guard
from tests.limits import PATIENCE
from tests.ports import free_port
from tests.private_broker import PrivateBroker


class RedisNode(PrivateBroker):
    """One Redis server on 127.0.0.1 and on a Unix socket, with a log of every write, so that a restart loses nothing.
    With an authority and a certificate, its port speaks TLS. `options` are further ones of redis-server."""

    def __init__(self, *options: str, tls: tuple[Authority, Certificate] | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="bridge-redis-"))
        self._guard = Guard(self.directory)
        self._process: subprocess.Popen[bytes] | None = None
        self._options = options
        self._tls = tls
        self.port = free_port()
        self.socket = self.directory / "redis.sock"
        self._databases = 0

    def start(self) -> None:
        """Start the server on its existing data; return when it answers."""
        environment = {**os.environ, **self._guard.environment}
        self._process = subprocess.Popen(self._command(), env=environment, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < deadline, "redis-server did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        """Kill the server; its data stay, and `start()` reads them."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(PATIENCE)

    def pause(self) -> None:
        """Freeze the server: its connections stay open, but it does not answer."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume a paused server."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        """Kill the server, and remove its directory. A second call does nothing."""
        self._guard.clear()
        if self._process is not None:
            self._process.wait(PATIENCE)

    def new_database(self) -> str:
        """Return the URL of an empty database. There are 16; the first one is not given."""
        self._databases = self._databases % 15 + 1
        url = self.url(self._databases)
        with redis.Redis.from_url(url) as client:
            client.flushdb()
        return url

    def url(self, database: int = 0) -> str:
        """Return the URL of a database of this server."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def client(self) -> redis.Redis:
        """Return a client of the first database, over the socket, with all rights."""
        return redis.Redis(unix_socket_path=str(self.socket), protocol=2)

    def _command(self) -> Sequence[str]:
        server = shutil.which("redis-server")
        assert server is not None, "redis-server: not found; scripts/install-redis.sh installs it"
        where = ["--dir", str(self.directory), "--bind", "127.0.0.1", "--unixsocket", str(self.socket)]
        durable = ["--appendonly", "yes", "--appendfsync", "no", "--save", "", "--logfile", "redis.log"]
        seen = ["--set-proc-title", "no"]  # a title would be written over the environment, by which the guard finds it
        port = ["--port", str(self.port)] if self._tls is None else self._with_tls(*self._tls)
        return [server, *where, *port, *durable, *seen, *self._options]

    def _with_tls(self, authority: Authority, own: Certificate) -> list[str]:
        files = ["--tls-cert-file", str(own.cert), "--tls-key-file", str(own.key)]
        checks = ["--tls-ca-cert-file", str(authority.file), "--tls-auth-clients", "no"]
        return ["--port", "0", "--tls-port", str(self.port), *files, *checks]

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False
