"""A private Docker engine for tests: dockerd in namespaces of its own, from the tree of scripts/install-docker.sh.

It has its own mounts, network, processes and control group, and its data in memory: it touches nothing of the machine's
own Docker or network, takes no port of the machine, and all of it ends with its first process. It needs root on Linux.
"""

import contextlib
import ctypes
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tests.guard import Guard

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
TREE = Path("/opt/docker-of-debian")
WHEELS = ROOT / ".venv" / "wheels-of-image"
PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SOCKET = "unix:///run/engine-of-tests.sock"
START_SECONDS = 120.0
COMMAND_SECONDS = 600.0
LOG_CHARACTERS = 4000
CLONE_NEWNET = 0x40000000
NOT_IN_IMAGES = (
    *("./old", "./src", "./wheels", "./var/lib/rabbitmq/.erlang.cookie", "./var/cache/apt/*", "./var/lib/apt/lists/*"),
    *("./usr/bin/docker*", "./usr/sbin/docker*", "./usr/libexec/docker", "./usr/bin/containerd*"),
)


class NoEngine(Exception):
    """This machine does not let a Docker engine run, or has none; the text says why."""


class DockerEngine:
    """One engine. The repository is at /src in its file system."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="bridge-docker-"))
        self._log = self._directory / "engine.log"
        self._guard = Guard(self._directory)
        # The socket's name is ours alone, so that no command can reach another engine of the machine.
        self._environment = {"PATH": PATHS, "HOME": "/root", "DOCKER_HOST": SOCKET, **self._guard.environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._network: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Start dockerd; return when it answers. Raise `NoEngine` if it is not installed or this machine forbids it."""
        if not (TREE / ".packages").exists() or not (WHEELS / ".lists").exists():
            raise NoEngine("scripts/install-docker.sh has not installed the engine")
        namespaces = ["--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
        script = Path(__file__).with_suffix(".sh")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", *namespaces, script, TREE, self._directory, ROOT],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise NoEngine(f"no Docker engine can run here: {self.log().strip()[-LOG_CHARACTERS:]}")
            time.sleep(0.1)

    def run(self, *command: str) -> str:
        """Run a command in the engine's namespaces and /src; return its output. Fail with all output unless it is 0."""
        done = subprocess.run(
            [*self._inside(), *command],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def docker(self, *arguments: str) -> str:
        """Run `docker` with these arguments, as `run()` does."""
        return self.run("docker", *arguments)

    def import_tree(self, name: str) -> None:
        """Make an image of the tree of Debian, without the engine's own programs."""
        excluded = " ".join(f"--exclude='{path}'" for path in NOT_IN_IMAGES)
        self.run("sh", "-c", f"tar --one-file-system -C / {excluded} -c . | docker import - {name}")

    def in_network(self, function: Callable[[], T]) -> T:
        """Return what the function returns on a thread in the engine's network, where 127.0.0.1 has published ports."""
        if self._network is None:
            self._network = ThreadPoolExecutor(1, initializer=self._enter_network)
        return self._network.submit(function).result(COMMAND_SECONDS)

    def log(self) -> str:
        """Return dockerd's output."""
        return self._log.read_text(errors="backslashreplace")

    def remove(self) -> None:
        """Kill the engine with all its containers, and remove their control groups. Their files go with the memory."""
        if self._network is not None:
            self._network.shutdown()
        if self._process is not None:
            self._process.kill()  # and by --kill-child the first process of the namespaces, with which all others end
            self._process.wait(COMMAND_SECONDS)
        self._guard.clear()
        self._remove_control_groups()

    def _first(self) -> int | None:
        """Return the pid of the first process in the namespaces."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for pid in children.read_text().split():
                return int(pid)
        return None

    def _inside(self) -> list[str]:
        return ["nsenter", "-t", str(self._first()), "-m", "-n", "-p", "-r", "env", "-C", "/src"]

    def _answers(self) -> bool:
        if not (self._directory / "begun").exists():
            return False
        asked = [*self._inside(), "docker", "version"]
        return subprocess.run(asked, env=self._environment, capture_output=True, check=False).returncode == 0

    def _remove_control_groups(self) -> None:
        end = time.monotonic() + START_SECONDS
        while groups := sorted(Path("/sys/fs/cgroup").glob(f"**/{self._directory.name}/**/"), reverse=True):
            assert time.monotonic() < end, f"control groups are in use: {groups}"
            for group in groups:
                with contextlib.suppress(OSError):  # the kernel has not yet removed its last process
                    group.rmdir()
            time.sleep(0.01)

    def _enter_network(self) -> None:
        """Move this thread alone into the engine's network."""
        with Path(f"/proc/{self._first()}/ns/net").open("rb") as namespace:
            library = ctypes.CDLL(None, use_errno=True)
            if library.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
