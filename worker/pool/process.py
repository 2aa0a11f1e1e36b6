"""Start the process of a child, describe its end, and signal it."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, Self

from bridge.child_protocol import Inherited

PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Launch:
    """The way to start a child: the module of its program, the app that it serves, the seconds that its boot may take,
    the variables that its environment has in addition to the pool's, the directory that it starts in, and further
    variables that name files, relative to the directory if they are in it."""

    module: str
    app: str
    boot_timeout: float
    environment: Mapping[str, str]
    directory: Path = field(default_factory=Path)
    files: Mapping[str, Path] = field(default_factory=dict)

    def of_this_version(self) -> Self:
        """Return the launch with the directory that its name leads to now, so that all children of a version of the
        app start in one directory, even if a deploy points a link elsewhere meanwhile."""
        return replace(self, directory=Path(os.path.realpath(self.directory)))


class BootFailed(Exception):
    """The child did not become ready; the message is the child's own, or says how its process ended."""


class Process(Protocol):
    """A process of the pool."""

    @property
    def pid(self) -> int:
        """Its process id, also the id of its process group."""

    async def wait(self) -> int:
        """Wait for its end; return its exit status, or the number of the signal that ended it, negative."""

    def send_signal(self, signal: int) -> None:
        """Send a signal. Raise `ProcessLookupError` if the process has ended."""


class Starter(Protocol):
    """Starts the processes of children."""

    @property
    def directory(self) -> Path:
        """The directory that its children start in."""

    @property
    def over(self) -> bool:
        """True if the starter's own process has ended, or there is none. Its children may still run."""

    async def start(self, inherited: Inherited) -> Process:
        """Start a child with these descriptors. Raise `BootFailed` if that fails."""

    def retire(self) -> None:
        """Start no further child; running children continue."""

    async def stop(self) -> None:
        """End the starter's own process, once its children have ended."""


class Execution:
    """Starts each child as a program, which imports the app itself."""

    over = True

    def __init__(self, launch: Launch) -> None:
        self._launch = launch

    @property
    def directory(self) -> Path:
        return self._launch.directory

    async def start(self, inherited: Inherited) -> Process:
        return await execute(
            self._launch,
            *inherited.options(),
            keep=(inherited.serve, inherited.control, inherited.stacks, inherited.news, inherited.tokens),
            output=inherited.output,
        )

    def retire(self) -> None:
        """Do nothing: nothing is prepared for the next child."""

    async def stop(self) -> None:
        """Do nothing: the starter has no process of its own."""


async def execute(launch: Launch, *options: str, keep: tuple[int, ...], output: int) -> asyncio.subprocess.Process:
    """Run the child's module with these options and descriptors. Raise `BootFailed` if the system starts no process."""
    files = {name: str(launch.directory / path) for name, path in launch.files.items()}
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", launch.module, *options, launch.app),
            pass_fds=keep,
            cwd=launch.directory,
            env={**os.environ, **launch.environment, **files},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    except OSError as error:
        raise BootFailed(f"the process could not be started: {error}") from error


def signal_group(process: Process, number: signal.Signals) -> None:
    """Send a signal to a process and all processes that it started: they share its process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def memory_of(pid: int) -> int:
    """Return the resident bytes of a process, shared ones included; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def cpu_seconds_of(pid: int) -> float:
    """Return the seconds of CPU that the threads of a process have used; 0.0 if there is no such process."""
    try:
        return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3), which Python does not have
    except OSError:
        return 0.0


def is_runnable(pid: int) -> bool:
    """Return True if the main thread of a process runs or waits for a CPU; False if it sleeps or has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"R"
    except (OSError, IndexError):
        return False
