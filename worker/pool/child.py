"""A child: one app-server process, from its start to its end, on the socket pair that it inherited."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from worker.pool.control import MAX_LINE, CannotBoot, Ready, read

MAX_OUTPUT_LINE = 8 * 1024
_READ = 64 * 1024

Output = Callable[[int, str], None]
"""Hears each line that a child (named by its process id) writes to its stdout or stderr."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a child is started: the module that is its entry, the app that it serves, the seconds that its boot may
    take, and what its environment has besides ours."""

    module: str
    app: str
    boot_timeout: float
    environment: Mapping[str, str]


class BootFailed(Exception):
    """The child did not become ready; the message is its own, or says how it ended."""


class Child:
    """A process that serves one connected socket. `socket` is our end of it; its end tells both sides. `boot_seconds`
    is how long it took from its start until it was ready."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        sock: socket.socket,
        ready: Ready,
        boot_seconds: float,
        output: asyncio.Task[None],
    ) -> None:
        self.pid = process.pid
        self._output = output  # kept, for a task that nobody holds may vanish
        self.socket = sock
        self.ready = ready
        self.boot_seconds = boot_seconds
        self._process = process

    def __repr__(self) -> str:
        return f"<Child {self.pid}>"

    async def exited(self) -> str:
        """Wait for the process to end, and say how it did."""
        return ending(await self._process.wait())

    def terminate(self) -> None:
        """Ask it to finish what it runs and to end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """End it and what it started, now."""
        _kill(self._process)


async def boot(launch: Launch, output: Output) -> Child:
    """Start a child and wait until it is ready. Raise `BootFailed` where it ends, fails, or takes too long."""
    clock = asyncio.get_running_loop().time
    started = clock()
    ours, theirs = socket.socketpair()
    heard, said = socket.socketpair()
    inherited = (theirs.fileno(), said.fileno())
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", launch.module),
            *("--fd", str(inherited[0]), "--control", str(inherited[1]), launch.app),
            pass_fds=inherited,
            env={**os.environ, **launch.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        ours.close()
        heard.close()
        raise BootFailed(f"no process could be started: {error}") from error
    finally:
        theirs.close()
        said.close()
    outputs = asyncio.create_task(_tell_output(process, output))
    try:
        ready = await _hear(process, heard, launch.boot_timeout)
    except BaseException:
        _kill(process)
        ours.close()
        await process.wait()
        raise
    return Child(process, ours, ready, clock() - started, outputs)


async def _hear(process: asyncio.subprocess.Process, heard: socket.socket, timeout: float) -> Ready:
    reader, writer = await asyncio.open_connection(sock=heard, limit=MAX_LINE)
    try:
        async with asyncio.timeout(timeout):
            message = read(await reader.readline())
            if message is None:
                raise BootFailed(f"the child {ending(await process.wait())} before it was ready")
    except (TimeoutError, ValueError) as error:
        raise BootFailed(f"the child was not ready after {timeout:g} s") from error
    finally:
        writer.close()
    if isinstance(message, CannotBoot):
        raise BootFailed(message.message)
    return message


async def _tell_output(process: asyncio.subprocess.Process, output: Output) -> None:
    """Read what a child prints, without end and in bounded memory, a line at a time."""
    stream = process.stdout
    assert stream is not None
    rest = b""
    while chunk := await stream.read(_READ):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > MAX_OUTPUT_LINE:  # a line without end is told in pieces
            lines.append(rest)
            rest = b""
        for line in lines:
            output(process.pid, _safe(line))
    if rest:
        output(process.pid, _safe(rest))


def _safe(line: bytes) -> str:
    text = line[:MAX_OUTPUT_LINE].decode("utf-8", "backslashreplace").rstrip("\r")
    return "".join(letter if letter.isprintable() or letter == "\t" else repr(letter)[1:-1] for letter in text)


def ending(status: int) -> str:
    """Say in words how a process ended: `status` as `subprocess` gives it."""
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _kill(process: asyncio.subprocess.Process) -> None:
    # Its session is its own, so what its handlers started goes with it.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
