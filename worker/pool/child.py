"""A child: one app-server process, from its start to its end, on the socket pair that it inherited."""

import asyncio
import contextlib
import os
import signal
import socket

from worker.pool.control import MAX_LINE, CannotBoot, Ready, read
from worker.pool.output import Hear, Output
from worker.pool.process import BootFailed, Inherited, Process, Starter, ending, memory_of, signal_group
from worker.pool.recycling import Wear

STACKS_SIGNAL = signal.SIGUSR2
"""What a child answers with the Python stacks of all its threads, whatever it is doing."""
STACKS_WITHIN = 0.5
STACKS_QUIET = 0.05
"""Seconds without a further byte after which the stacks are taken to be whole: nothing marks their end."""
STACKS_KEPT = 64 * 1024


class Child:
    """A process that serves one connected socket. `socket` is our end of it; its end tells both sides. `boot_seconds`
    is how long it took from its start until it was ready, `born` (the loop's clock) when that was; `requests` counts
    what it has served, and whoever sends them counts."""

    def __init__(self, process: Process, wires: "_Wires", ready: Ready, boot_seconds: float, output: Output) -> None:
        self.pid = process.pid
        self.socket = wires.ours
        self.ready = ready
        self.boot_seconds = boot_seconds
        self.born = asyncio.get_running_loop().time()
        self.requests = 0
        self.output = output
        self._process = process
        self._stacks = wires.stacks

    def __repr__(self) -> str:
        return f"<Child {self.pid}>"

    @property
    def age(self) -> float:
        """Seconds since it was ready."""
        return asyncio.get_running_loop().time() - self.born

    @property
    def wear(self) -> Wear:
        """What it has behind it."""
        return Wear(self.requests, self.age, memory_of(self.pid))

    async def exited(self) -> str:
        """Wait for the process to end, and say how it did."""
        return ending(await self._process.wait())

    def forget(self) -> None:
        """Let go of what we had for it: it has ended."""
        self.output.drain()
        if self._stacks >= 0:
            os.close(self._stacks)
            self._stacks = -1

    async def finish(self, grace: float) -> None:
        """Let it finish what it runs, and end; end it after so many seconds."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        if not await self._ends_within(grace):
            self.kill()
            await self._process.wait()

    async def destroy(self, grace: float) -> None:
        """End it and what it started: first asked, then after so many seconds by SIGKILL."""
        signal_group(self._process, signal.SIGTERM)
        await self._ends_within(grace)
        self.kill()  # what it started may not have ended with it
        await self._process.wait()

    def kill(self) -> None:
        """End it and what it started, now."""
        signal_group(self._process, signal.SIGKILL)

    async def stacks(self) -> bytes:
        """Return the Python stacks of all its threads, as faulthandler writes them; nothing where it cannot answer
        within `STACKS_WITHIN` seconds."""
        if self._stacks < 0:
            return b""
        loop, told, said = asyncio.get_running_loop(), asyncio.Event(), bytearray()
        loop.add_reader(self._stacks, told.set)
        try:
            self._process.send_signal(STACKS_SIGNAL)
            async with asyncio.timeout(STACKS_WITHIN):
                await told.wait()
                while len(said) < STACKS_KEPT and (piece := await _next(self._stacks, told)):
                    said += piece
        except (TimeoutError, ProcessLookupError):
            pass  # what has come so far is what there is
        finally:
            loop.remove_reader(self._stacks)
        return bytes(said[:STACKS_KEPT])

    async def _ends_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            return False
        return True


async def _next(pipe: int, told: asyncio.Event) -> bytes:
    try:
        async with asyncio.timeout(STACKS_QUIET):
            await told.wait()
    except TimeoutError:
        return b""
    told.clear()
    try:
        return os.read(pipe, STACKS_KEPT)
    except BlockingIOError:
        return await _next(pipe, told)


class _Wires:
    """What connects a child to us, both ends of it, until the child has its own."""

    def __init__(self) -> None:
        self.ours, self._theirs = socket.socketpair()
        self.heard, self._said = socket.socketpair()
        self.printed, self._output = os.pipe()
        try:
            self.stacks, self._stacks = os.pipe()
        except OSError:
            os.close(self.printed)
            os.close(self._output)
            raise
        os.set_blocking(self.stacks, False)
        self.inherited = Inherited(self._theirs.fileno(), self._said.fileno(), self._output, self._stacks)

    def hand_over(self) -> None:
        """Close the child's ends, which it has by now."""
        self._theirs.close()
        self._said.close()
        os.close(self._output)
        os.close(self._stacks)

    def close(self) -> None:
        """Close our ends, but for those that have a reader of their own."""
        self.ours.close()
        self.heard.close()
        os.close(self.stacks)


async def boot(starter: Starter, timeout: float, hear: Hear) -> Child:
    """Start a child and wait until it is ready. Raise `BootFailed` where it ends, fails, or takes too long, and where
    the system has nothing left for it."""
    try:
        return await _booted(starter, timeout, hear)
    except OSError as error:
        raise BootFailed(f"no child can be started: {error}") from error


async def _booted(starter: Starter, timeout: float, hear: Hear) -> Child:
    clock = asyncio.get_running_loop().time
    started = clock()
    wires = _Wires()
    try:
        process = await starter.start(wires.inherited)
    except BaseException:
        wires.close()
        os.close(wires.printed)
        raise
    finally:
        wires.hand_over()
    output = Output(wires.printed, process.pid, hear)
    try:
        ready = await report(process, wires.heard, timeout)
    except BaseException:
        signal_group(process, signal.SIGKILL)
        await process.wait()
        output.drain()
        wires.close()
        raise
    return Child(process, wires, ready, clock() - started, output)


async def report(process: Process, heard: socket.socket, timeout: float) -> Ready:
    """Wait for the one line that a process says about its boot. Raise `BootFailed` for any but `Ready`."""
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
