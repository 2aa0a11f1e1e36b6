"""Private PostgreSQL and MariaDB servers for tests: they start, break, restart and are removed, as RabbitMQ nodes are.

They share nothing with a server that already runs. Their data are not synced to the disk: a test may kill a server, but
not the machine.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy

from tests.guard import Guard
from tests.limits import PATIENCE
from tests.ports import free_port
from tests.private_broker import PrivateBroker

_BIN = "/usr/lib/postgresql"
_SBIN = ":/usr/local/sbin:/usr/sbin"


class DatabaseServer(PrivateBroker):
    """One database server on 127.0.0.1. It is removed even if the Python process is killed."""

    scheme: str
    """The beginning of its URLs, as users write them."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=f"bridge-{self.scheme}-"))
        self._guard = Guard(self.directory)
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self.port = free_port()

    @abstractmethod
    def prepare(self) -> None:
        """Make the data directory. Called once, before the first start."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the command that runs the server in the foreground."""

    @abstractmethod
    def url(self, database: str) -> str:
        """Return the URL of a database."""

    @property
    def user(self) -> str | None:
        """The user who runs the server; None: the user of the tests."""
        return None

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def start(self) -> None:
        """Start the server on its existing data; return when it accepts connections."""
        if not self._data.exists():
            self.prepare()
        self._process = subprocess.Popen(self.command(), **self._options())
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.scheme} did not start\n{self._log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server at once, like a crash; its data stay, and `start()` recovers them."""
        if self._process is not None and self._process.poll() is None:
            pids = self._signal(signal.SIGKILL)
            self._process.wait(PATIENCE)
            deadline = time.monotonic() + PATIENCE
            while any(map(_runs, pids)):  # PostgreSQL does not start beside them
                if time.monotonic() > deadline:
                    raise RuntimeError(f"processes of {self.scheme} do not end: {pids}")
                time.sleep(0.005)

    def pause(self) -> None:
        """Freeze the server: its connections stay open, but it does not answer."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume a paused server."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Kill the server, and remove its directory. A second call does nothing."""
        self._guard.clear()
        if self._process is not None:
            self._process.wait(PATIENCE)

    def new_database(self) -> str:
        """Make an empty database; return its URL."""
        self._databases += 1
        name = f"test_{self._databases}"
        engine = sqlalchemy.create_engine(self._admin(), isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def _admin(self) -> str:
        return self.url("postgres")

    def _answers(self) -> bool:
        try:
            with sqlalchemy.create_engine(self._admin(), poolclass=sqlalchemy.NullPool).connect():
                return True
        except sqlalchemy.exc.OperationalError:
            return False

    def _signal(self, number: signal.Signals) -> list[int]:
        """Send a signal to the server and its processes, and return their pids. Those of PostgreSQL are in process
        groups of their own."""
        assert self._process is not None
        server = self._process.pid
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        pids = [server, *map(int, children)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids

    @property
    def _log(self) -> Path:
        return self.directory / "server.log"

    def _options(self) -> dict[str, Any]:
        log = self._log.open("ab")
        environment = {**os.environ, **self._guard.environment, "TZ": "UTC"}
        common = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "start_new_session": True}
        return {**common, "env": environment, "cwd": self.directory, "user": self.user}


class Postgres(DatabaseServer):
    """A PostgreSQL server. It refuses to run as root, so root runs it as the user of Debian's package."""

    scheme = "postgresql"

    def prepare(self) -> None:
        if self.user is not None:
            shutil.chown(self.directory, self.user)
        options = ["--no-sync", "--no-instructions", "--auth=trust", "--username=postgres", "--encoding=UTF8"]
        command = [_newest_initdb(), f"--pgdata={self._data}", "--locale=C", *options]
        subprocess.run(command, check=True, timeout=PATIENCE, **self._options())

    def command(self) -> Sequence[str]:
        settings = ("fsync=off", "full_page_writes=off", "autovacuum=on", "max_connections=60")
        named = [word for setting in settings for word in ("-c", setting)]
        where = ["-D", str(self._data), "-p", str(self.port), "-h", "127.0.0.1", "-k", ""]
        return [str(Path(_newest_initdb()).with_name("postgres")), *where, *named]

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    @property
    def user(self) -> str | None:
        return "postgres" if os.geteuid() == 0 else None


class MariaDB(DatabaseServer):
    """A MariaDB server without tables of users: everybody may do everything. So it needs no `mariadb-install-db`."""

    scheme = "mariadb"

    def prepare(self) -> None:
        self._data.mkdir()
        # A server that makes its files cannot be killed before it has ended once.
        subprocess.run([*self.command(), "--bootstrap"], check=True, timeout=PATIENCE, **self._options())

    def command(self) -> Sequence[str]:
        server = shutil.which("mariadbd", path=os.environ.get("PATH", "") + _SBIN)
        assert server is not None, "mariadbd: not found; scripts/install-databases.sh installs it"
        where = [f"--datadir={self._data}", f"--socket={self.directory}/socket", f"--port={self.port}"]
        small = ["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M", "--innodb-flush-log-at-trx-commit=2"]
        user = ["--user=root"] if os.geteuid() == 0 else []
        return [server, "--no-defaults", "--skip-grant-tables", "--bind-address=127.0.0.1", *where, *small, *user]

    def url(self, database: str) -> str:
        return f"mariadb+pymysql://root@127.0.0.1:{self.port}/{database}?charset=utf8mb4"

    def _admin(self) -> str:
        return self.url("")


@contextmanager
def sqlite_database() -> Iterator[str]:
    """Yield the URL of an SQLite file of its own."""
    with tempfile.TemporaryDirectory(prefix="bridge-sqlite-") as directory:
        yield f"sqlite:///{directory}/shop.db"


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _newest_initdb() -> str:
    found = sorted(Path(_BIN).glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    assert found, f"{_BIN}: no initdb; scripts/install-databases.sh installs it"
    return str(found[-1])
