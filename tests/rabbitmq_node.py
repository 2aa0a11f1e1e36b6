"""A private RabbitMQ node for tests and benchmarks: starts, breaks, restarts and removes it.

It shares nothing with a broker that already runs: ports, node name, cookie, data, logs and epmd are its own. Clients
use `url`. `RABBITMQ_SERVER` is the path of another build's rabbitmq-server; rabbitmqctl is then the one next to it.
"""

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

from tests.erlang import EvaluationError, evaluate
from tests.guard import Guard
from tests.limits import PATIENCE
from tests.ports import free_ports
from tests.private_broker import PrivateBroker
from tests.rabbitmq_environment import environment as environment_of
from tests.rabbitmq_environment import new_cookie
from tests.rabbitmq_operator import Operator

LEADER_SECONDS = 10.0
_LOG_LINES = 40

_LEADERLESS = """
[rabbit_misc:rs(amqqueue:get_name(Q)) || Q <- rabbit_amqqueue:list(), amqqueue:get_type(Q) =:= rabbit_quorum_queue,
    ra_leaderboard:lookup_leader(element(1, amqqueue:get_pid(Q))) =:= undefined].
"""
"""The Erlang expression for the quorum queues that have no leader."""


class RabbitNodeError(Exception):
    """The node or rabbitmqctl has failed. The message ends with its output."""


class RabbitNode(PrivateBroker):
    """One RabbitMQ node on 127.0.0.1, with all plugins off.

    The node is removed even if the Python process is killed.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, advanced: str = "") -> None:
        """`environment` has additional variables, such as RABBITMQ_DEFAULT_USER; `advanced` is the advanced.config."""
        server = _server()
        self._server = server
        self.directory = Path(tempfile.mkdtemp(prefix="bridge-rabbitmq-"))
        self._guard = Guard(self.directory)
        self.operator = Operator(self.eval)
        self._process: subprocess.Popen[bytes] | None = None
        self._vhosts = 0
        self.start_seconds = 0.0
        """The duration of the last start in seconds."""
        self.port, distribution_port, self.epmd_port = free_ports(3)
        self._write_files()
        if advanced:
            (self.directory / "advanced.config").write_text(advanced)
        usual = environment_of(self.directory, self.name, self.port, distribution_port, self.epmd_port)
        self._environment = {**usual, **self._guard.environment, **(environment or {})}

    @property
    def name(self) -> str:
        """The name of the Erlang node."""
        return f"bridge-test-{self.port}@localhost"

    @property
    def running(self) -> bool:
        """True while the process of the node runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def url(self) -> str:
        """The AMQP URL of the default virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start the node on its existing data; return when it serves AMQP."""
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
        """Shut the node down; its data stay."""
        if self._process is not None and self.running:
            self._process.terminate()
            self._process.wait(PATIENCE)

    def restart(self) -> None:
        """Shut the node down, and start it again on the same port and data."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End the node by SIGKILL, like a crash; its data stay, and `start()` recovers them."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(PATIENCE)

    def pause(self) -> None:
        """Freeze the node: its connections stay open, but it does not answer. Return when all threads have stopped."""
        self._signal(signal.SIGSTOP)
        while self._process is not None and _runs(self._process.pid):
            time.sleep(0.001)

    def resume(self) -> None:
        """Resume a paused node."""
        self._signal(signal.SIGCONT)

    def stop_app(self) -> None:
        """Stop the broker and close its port, but keep the Erlang node running."""
        self.eval("rabbit:stop().")

    def start_app(self) -> None:
        """Start the broker again after `stop_app()`; return when it serves AMQP."""
        self.eval("rabbit:start().")
        self.await_ready()

    def raise_memory_alarm(self) -> None:
        """Raise the memory alarm: the node stops reading from connections that publish."""
        self.eval("vm_memory_monitor:set_vm_memory_high_watermark(0.0).")

    def clear_memory_alarm(self) -> None:
        """Clear the memory alarm, by the default limit."""
        self.eval("vm_memory_monitor:set_vm_memory_high_watermark(0.4).")

    def await_ready(self) -> None:
        """Return when the node serves AMQP. Raise `RabbitNodeError` if it ends, or does not within `PATIENCE`."""
        deadline = time.monotonic() + PATIENCE
        while not _serves_amqp(self.port):
            if self._process is None or not self.running:
                code = None if self._process is None else self._process.returncode
                raise RabbitNodeError(f"{self._server} ended with {code}\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise RabbitNodeError(
                    f"{self._server}: no AMQP on port {self.port} in {PATIENCE:g} s\n{self._log_tail()}"
                )
            time.sleep(0.02)

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl on this node, which takes a second of CPU; return its output without headers. Use `eval` for
        all that does not test rabbitmqctl itself."""
        return self.tool("rabbitmqctl", "--silent", *arguments)

    def tool(self, name: str, *arguments: str) -> str:
        """Run one of RabbitMQ's command-line tools on this node; return its output."""
        done = subprocess.run(
            [str(self._server.with_name(name)), *arguments],
            env=self._environment,
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode != 0:
            raise RabbitNodeError(f"{name} {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}")
        return done.stdout.strip()

    def eval(self, expressions: str) -> str:
        """Evaluate Erlang expressions in the node within milliseconds; return the value in Erlang's notation."""
        try:
            return evaluate(self.name, expressions, self._environment)
        except EvaluationError as error:
            raise RabbitNodeError(f"{error}\n{self._log_tail()}") from error

    def await_leaders(self) -> bool:
        """Wait until each quorum queue of a single node has a leader, which takes half a second after a start.

        Return False if a queue has no leader after `LEADER_SECONDS`, such as a queue that was declared in the last
        second before a crash. RabbitMQ 3.10 loses all quorum queues if some are deleted before they have a leader.
        """
        deadline = time.monotonic() + LEADER_SECONDS
        while self.eval(_LEADERLESS) != "[]":
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def logged(self) -> str:
        """Return the node's log with all records so far. RabbitMQ writes its log with a delay, so this waits for a
        record of its own."""
        mark = f"read up to here: {uuid.uuid4()}"
        self.eval(f'logger:warning("{mark}").')
        deadline = time.monotonic() + PATIENCE
        while mark not in (text := self._log.read_text(errors="replace")):
            if time.monotonic() > deadline:
                raise RabbitNodeError(f"the node did not log {mark!r} within {PATIENCE:g} s\n{self._log_tail()}")
            time.sleep(0.02)
        return text

    def new_vhost(self) -> str:
        """Make an empty virtual host with all permissions for guest; return its URL. A new namespace is cheaper."""
        self._vhosts += 1
        name = f"vhost-{self._vhosts}"
        self.operator.add_vhost(name)
        return self.url + name

    def remove(self) -> None:
        """Kill the node and its processes, and remove its directory. A second call does nothing."""
        self._guard.clear()
        if self._process is not None:
            self._process.wait(PATIENCE)

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
    """Yield the URL of a broker for tests that do not control it: TEST_AMQP_URL, or that of a private node."""
    given = os.environ.get("TEST_AMQP_URL")
    if given:
        yield given
    else:
        with RabbitNode() as node:
            yield node.url


def _server() -> Path:
    """Return the rabbitmq-server to run: RABBITMQ_SERVER, or the installed one."""
    wanted = os.environ.get("RABBITMQ_SERVER", "rabbitmq-server")
    # Debian keeps the command in sbin, which is not on an ordinary user's PATH.
    found = shutil.which(wanted, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin")
    if found is None:
        raise RabbitNodeError(f"{wanted}: not found; install rabbitmq-server, or set RABBITMQ_SERVER to its path")
    server = Path(found).resolve()
    if server.name == "rabbitmq-script-wrapper":  # Debian's wrapper changes to the user rabbitmq
        return server.with_name("rabbitmq-server")
    return server


def _runs(pid: int) -> bool:
    """Return True if a thread of the process is not stopped."""
    states = [stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
    return any(state not in "Tt" for state in states)


def _serves_amqp(port: int) -> bool:
    """Return True if the server replies to an AMQP 0-9-1 header with a method frame: then it accepts connections."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5.0) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
    except OSError:
        return False
