"""A private RabbitMQ node for tests and benchmarks: started, hurt, restarted and removed without a trace.

It shares nothing with a broker that is already running: ports, node name, cookie, data, logs and epmd are its own. Not
a client: talk to it through `url`. `RABBITMQ_SERVER` names another build's rabbitmq-server; rabbitmqctl is the one
beside it.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.guard import Guard
from tests.ports import free_ports
from tests.private_broker import PrivateBroker
from tests.rabbitmq_environment import environment as environment_of
from tests.rabbitmq_environment import new_cookie

START_SECONDS = 60.0
STOP_SECONDS = 60.0
CTL_SECONDS = 60.0
_LOG_LINES = 40


class RabbitNodeError(Exception):
    """The node, or rabbitmqctl, did not do what was asked. The message ends with what it printed."""


class RabbitNode(PrivateBroker):
    """One RabbitMQ node on 127.0.0.1, with all plugins off.

    What was started is removed even when the Python process is killed.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, advanced: str = "") -> None:
        """`environment` is what it is told besides, such as RABBITMQ_DEFAULT_USER; `advanced` its advanced.config."""
        server = _server()
        self._server = server
        self.directory = Path(tempfile.mkdtemp(prefix="bridge-rabbitmq-"))
        self._guard = Guard(self.directory)
        self._process: subprocess.Popen[bytes] | None = None
        self._vhosts = 0
        self.start_seconds = 0.0
        """How long the last start took."""
        self.port, distribution_port, self.epmd_port = free_ports(3)
        self._write_files()
        if advanced:
            (self.directory / "advanced.config").write_text(advanced)
        usual = environment_of(self.directory, self.name, self.port, distribution_port, self.epmd_port)
        self._environment = {**usual, **self._guard.environment, **(environment or {})}

    @property
    def name(self) -> str:
        """Its name as an Erlang node."""
        return f"bridge-test-{self.port}@localhost"

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def url(self) -> str:
        """The AMQP URL of the default virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start the node, on the data that it has, and return when it serves AMQP."""
        began = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._server],
                env=self._environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.await_ready()
        self.start_seconds = time.monotonic() - began

    def stop(self) -> None:
        """Stop the node in good order; its data stay."""
        if self._process is not None and self.running:
            self._process.terminate()
            self._process.wait(STOP_SECONDS)

    def restart(self) -> None:
        """Stop the node in good order and start it again on the same port and data."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End the node by SIGKILL, as a crash does; its data stay, and `start()` recovers them."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(STOP_SECONDS)

    def pause(self) -> None:
        """Freeze the node: its connections stay open and nothing answers. Return when all its threads have stopped."""
        self._signal(signal.SIGSTOP)
        while self._process is not None and _runs(self._process.pid):
            time.sleep(0.001)

    def resume(self) -> None:
        """Let a paused node go on."""
        self._signal(signal.SIGCONT)

    def stop_app(self) -> None:
        """Stop the broker, its port closed, and leave the Erlang node running."""
        self.ctl("stop_app")

    def start_app(self) -> None:
        """Start the broker again after `stop_app()` and return when it serves AMQP."""
        self.ctl("start_app")
        self.await_ready()

    def raise_memory_alarm(self) -> None:
        """Let the node find that it is out of memory: it stops reading from who publishes."""
        self.ctl("set_vm_memory_high_watermark", "0")

    def clear_memory_alarm(self) -> None:
        """Give the node its usual share of the memory again."""
        self.ctl("set_vm_memory_high_watermark", "0.4")

    def await_ready(self) -> None:
        """Return when the node serves AMQP. Raise `RabbitNodeError` where it ends, or does not come to it."""
        deadline = time.monotonic() + START_SECONDS
        while not _serves_amqp(self.port):
            if self._process is None or not self.running:
                code = None if self._process is None else self._process.returncode
                raise RabbitNodeError(f"{self._server} ended with {code}\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise RabbitNodeError(
                    f"{self._server}: no AMQP on port {self.port} in {START_SECONDS:g} s\n{self._log_tail()}"
                )
            time.sleep(0.02)

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl on this node, some 0.4 s, and return what it printed, without headers."""
        return self.tool("rabbitmqctl", "--silent", *arguments)

    def tool(self, name: str, *arguments: str) -> str:
        """Run one of RabbitMQ's command-line tools on this node, and return what it printed."""
        done = subprocess.run(
            [str(self._server.with_name(name)), *arguments],
            env=self._environment,
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=CTL_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise RabbitNodeError(f"{name} {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}")
        return done.stdout.strip()

    def logged(self) -> str:
        """Return the node's log with all that it has to tell so far: RabbitMQ writes it a moment after it acts."""
        mark = f"read up to here: {uuid.uuid4()}"
        self.ctl("eval", f'logger:warning("{mark}").')
        deadline = time.monotonic() + CTL_SECONDS
        while mark not in (text := self._log.read_text(errors="replace")):
            if time.monotonic() > deadline:
                raise RabbitNodeError(f"the node did not log what it was told to\n{self._log_tail()}")
            time.sleep(0.02)
        return text

    def new_vhost(self) -> str:
        """Make an empty virtual host, open to guest, and return its URL. A namespace of one's own is cheaper."""
        self._vhosts += 1
        name = f"vhost-{self._vhosts}"
        permissions = {"user": "guest", "vhost": name, "configure": ".*", "write": ".*", "read": ".*"}
        definitions = self.directory / f"{name}.json"
        # One import instead of add_vhost and set_permissions: one start of rabbitmqctl instead of two.
        definitions.write_text(json.dumps({"vhosts": [{"name": name}], "permissions": [permissions]}))
        self.ctl("import_definitions", str(definitions))
        return self.url + name

    def remove(self) -> None:
        """Kill the node and everything it started, and remove its directory. A second call does nothing."""
        self._guard.clear()
        if self._process is not None:
            self._process.wait(STOP_SECONDS)

    @property
    def _log(self) -> Path:
        return self.directory / "node.log"

    def _write_files(self) -> None:
        new_cookie(self.directory)
        for name in ("enabled_plugins", "rabbitmq-env.conf", "rabbitmq.conf"):
            (self.directory / name).touch()

    def _log_tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:])

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or not self.running:
            raise RabbitNodeError(f"{number.name}: the node is not running\n{self._log_tail()}")
        os.killpg(self._process.pid, number)


@contextmanager
def shared_node() -> Iterator[str]:
    """The URL of a broker that tests need no control of: BRIDGE_TEST_AMQP_URL, else a private node's."""
    given = os.environ.get("BRIDGE_TEST_AMQP_URL")
    if given:
        yield given
    else:
        with RabbitNode() as node:
            yield node.url


def _server() -> Path:
    """The rabbitmq-server to run: RABBITMQ_SERVER, else the one installed."""
    wanted = os.environ.get("RABBITMQ_SERVER", "rabbitmq-server")
    # Debian keeps the command in sbin, which is not on an ordinary user's PATH.
    found = shutil.which(wanted, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin")
    if found is None:
        raise RabbitNodeError(f"{wanted}: not found; install rabbitmq-server, or set RABBITMQ_SERVER to its path")
    server = Path(found).resolve()
    if server.name == "rabbitmq-script-wrapper":  # Debian's: it would change to the user rabbitmq
        return server.with_name("rabbitmq-server")
    return server


def _runs(pid: int) -> bool:
    """Whether any thread of a process is not stopped."""
    states = [stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
    return any(state not in "Tt" for state in states)


def _serves_amqp(port: int) -> bool:
    """Whether an AMQP 0-9-1 header is answered by a method frame, as a broker does once it takes connections."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
    except OSError:
        return False
