"""How a child's process begins, what it inherits, and how it ends."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Launch:
    """How a child is started: the module that is its entry, the app that it serves, the seconds that its boot may
    take, and what its environment has besides ours."""

    module: str
    app: str
    boot_timeout: float
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Inherited:
    """The descriptors that a child gets: the socket that it serves, where it reports, where it prints, and where it
    writes its stacks when it is asked for them."""

    serve: int
    control: int
    output: int
    stacks: int


class BootFailed(Exception):
    """The child did not become ready; the message is its own, or says how it ended."""


class Process(Protocol):
    """A process that we answer for."""

    @property
    def pid(self) -> int:
        """Its id, which is the id of its process group too."""

    async def wait(self) -> int:
        """Wait for its end; return its exit status, or the number of the signal that ended it, negative."""

    def send_signal(self, signal: int) -> None:
        """Send it a signal. Raise `ProcessLookupError` where it has ended."""


class Starter(Protocol):
    """Where children come from."""

    @property
    def over(self) -> bool:
        """Whether nothing is left of it but its children."""

    async def start(self, inherited: Inherited) -> Process:
        """Start one. Raise `BootFailed` where none can be started."""

    def retire(self) -> None:
        """Start none from now on; those that were started go on."""

    async def stop(self) -> None:
        """End whatever it needed itself, once its children have ended."""


class Execution:
    """Starts each child as a program of its own, which imports the app for itself."""

    over = True

    def __init__(self, launch: Launch) -> None:
        self._launch = launch

    async def start(self, inherited: Inherited) -> Process:
        return await execute(
            self._launch,
            *("--fd", inherited.serve, "--control", inherited.control, "--stacks", inherited.stacks),
            keep=(inherited.serve, inherited.control, inherited.stacks),
            output=inherited.output,
        )

    def retire(self) -> None:
        """Nothing is kept for the next one."""

    async def stop(self) -> None:
        """Nothing runs but the children."""


async def execute(
    launch: Launch, *options: str | int, keep: tuple[int, ...], output: int
) -> asyncio.subprocess.Process:
    """Run the child's module with these options and descriptors. Raise `BootFailed` where that cannot be."""
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", launch.module, *map(str, options), launch.app),
            pass_fds=keep,
            env={**os.environ, **launch.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    except OSError as error:
        raise BootFailed(f"no process could be started: {error}") from error


def ending(status: int) -> str:
    """Say in words how a process ended: `status` as `subprocess` gives it."""
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def signal_group(process: Process, number: signal.Signals) -> None:
    """Send a signal to a process and to what it started: its session is its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def memory_of(pid: int) -> int:
    """Return the bytes of memory that a process has resident, shared ones included; 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0
