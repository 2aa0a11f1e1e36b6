"""A child: one app-server process and the channels that it inherited, from its start to its end."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable

from bridge.child_protocol import MAX_REPORT, STACKS_SIGNAL, CannotBoot, Inherited, Ready, read_report
from bridge.console.process_ending import ending
from worker.pool.news import News
from worker.pool.output import OnPrinted, Output
from worker.pool.process import BootFailed, Process, Starter, cpu_seconds_of, is_runnable, memory_of, signal_group
from worker.pool.recycling import Wear
from worker.pool.start_tokens import StartTokens

STACKS_WITHIN = 0.5
STACKS_QUIET = 0.05
"""Seconds without a further byte after which the stacks count as complete: faulthandler writes no end mark."""
STACKS_KEPT = 64 * 1024


def _do_nothing() -> None:
    """Do nothing when the process has ended."""


class Child:
    """A process that serves one connected socket.

    `socket` is the pool's end of that connection; closing it ends the child. `boot_seconds` passed from the start of
    the child until it was ready, at `born` by the loop's clock. `requests` is how many requests the child has served,
    counted through `Supervisor.served`. `used` is True after a request has begun in it.
    """

    def __init__(
        self, process: Process, channels: "_Channels", ready: Ready, boot_seconds: float, output: Output
    ) -> None:
        self.pid = process.pid
        self.socket = channels.ours
        self.ready = ready
        self.boot_seconds = boot_seconds
        self.born = asyncio.get_running_loop().time()
        self.requests = 0
        self.used = False
        self.output = output
        self.news = News(channels.news, process.pid)
        self.tokens = channels.tokens
        self.on_end: Callable[[], None] = _do_nothing
        """Called when the process has ended, before its channels are closed."""
        self._process = process
        self._stacks = channels.stacks
        self._asking = asyncio.Lock()
        """Held while the child is asked for its stacks: two readers would share what it writes."""

    def __repr__(self) -> str:
        return f"<Child {self.pid}>"

    @property
    def age(self) -> float:
        """Seconds since the child was ready."""
        return asyncio.get_running_loop().time() - self.born

    @property
    def wear(self) -> Wear:
        """The work that the child has done so far."""
        return Wear(self.requests, self.age, memory_of(self.pid))

    def cpu_seconds(self) -> float:
        """Return the CPU time that the process has used so far."""
        return cpu_seconds_of(self.pid)

    def is_runnable(self) -> bool:
        """Return True if the main thread has a CPU or waits for one."""
        return is_runnable(self.pid)

    async def exited(self) -> str:
        """Wait for the process to end; return in words how it ended."""
        return ending(await self._process.wait())

    def forget(self) -> None:
        """Read the rest of the child's output, and close its other channels, after the child has ended."""
        self.on_end()
        self.output.drain()
        self.news.close()
        self.tokens.close()
        if self._stacks >= 0:
            os.close(self._stacks)
            self._stacks = -1

    async def finish(self, grace: float) -> None:
        """Let the child finish its request and end; kill it after `grace` seconds."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        if not await self._ends_within(grace):
            self.kill()
            await self._process.wait()

    async def destroy(self, grace: float) -> None:
        """End the child and all processes that it started: by SIGTERM, and after `grace` seconds by SIGKILL."""
        signal_group(self._process, signal.SIGTERM)
        await self._ends_within(grace)
        self.kill()  # processes that it started may have outlived it
        await self._process.wait()

    def kill(self) -> None:
        """Kill the child and all processes that it started."""
        signal_group(self._process, signal.SIGKILL)

    async def stacks(self) -> bytes:
        """Return the Python stacks of all threads of the child, as faulthandler writes them; empty if they do not
        arrive within `STACKS_WITHIN` seconds. What runs in the child goes on."""
        async with self._asking:
            if self._stacks < 0:
                return b""
            pipe = os.dup(self._stacks)  # the child may end meanwhile, and `forget` then closes the original
            try:
                return await self._stacks_from(pipe)
            finally:
                os.close(pipe)

    async def _stacks_from(self, pipe: int) -> bytes:
        loop, readable, stacks = asyncio.get_running_loop(), asyncio.Event(), bytearray()
        _discard(pipe)
        loop.add_reader(pipe, readable.set)
        try:
            self._process.send_signal(signal.Signals[STACKS_SIGNAL])
            async with asyncio.timeout(STACKS_WITHIN):
                await readable.wait()
                while len(stacks) < STACKS_KEPT and (piece := await _next(pipe, readable)):
                    stacks += piece
        except (TimeoutError, ProcessLookupError):
            pass  # return the stacks that have arrived so far
        finally:
            loop.remove_reader(pipe)
        return bytes(stacks[:STACKS_KEPT])

    async def _ends_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            return False
        return True


def _discard(pipe: int) -> None:
    """Drop what the child wrote after an earlier question had given up."""
    with contextlib.suppress(BlockingIOError):
        while os.read(pipe, STACKS_KEPT):
            pass


async def _next(pipe: int, readable: asyncio.Event) -> bytes:
    try:
        async with asyncio.timeout(STACKS_QUIET):
            await readable.wait()
    except TimeoutError:
        return b""
    readable.clear()
    try:
        return os.read(pipe, STACKS_KEPT)
    except BlockingIOError:
        return await _next(pipe, readable)


class _Channels:
    """Both ends of the sockets and pipes between a child and the pool, until the child has its ends."""

    def __init__(self) -> None:
        self.ours, self._theirs = socket.socketpair()
        self.reports, self._control = socket.socketpair()
        self.printed, self._output = os.pipe()
        try:
            self.news, self._news = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.tokens = StartTokens()
            self.stacks, self._stacks = os.pipe()
        except OSError:
            os.close(self.printed)
            os.close(self._output)
            raise
        os.set_blocking(self.stacks, False)
        self.inherited = Inherited(
            *(self._theirs.fileno(), self._control.fileno(), self._stacks, self._output, self._news.fileno()),
            self.tokens.fileno(),
        )

    def hand_over(self) -> None:
        """Close the pool's copies of the child's ends."""
        self._theirs.close()
        self._control.close()
        self._news.close()
        os.close(self._output)
        os.close(self._stacks)

    def close(self) -> None:
        """Close the pool's ends, except `printed`: `Output` closes it."""
        self.ours.close()
        self.reports.close()
        self.news.close()
        self.tokens.close()
        os.close(self.stacks)


async def boot(starter: Starter, timeout: float, on_printed: OnPrinted) -> Child:
    """Start a child and wait until it is ready. Raise `BootFailed` if it ends, reports a failure or takes more than
    `timeout` seconds, and if the system has no descriptors or processes left."""
    try:
        return await _booted(starter, timeout, on_printed)
    except OSError as error:
        raise BootFailed(f"the child cannot be started: {error}") from error


async def _booted(starter: Starter, timeout: float, on_printed: OnPrinted) -> Child:
    clock = asyncio.get_running_loop().time
    started = clock()
    channels = _Channels()
    try:
        process = await starter.start(channels.inherited)
    except BaseException:
        channels.close()
        os.close(channels.printed)
        raise
    finally:
        channels.hand_over()
    output = Output(channels.printed, process.pid, on_printed)
    try:
        ready = await report(process, channels.reports, timeout)
    except BaseException:
        signal_group(process, signal.SIGKILL)
        await process.wait()
        output.drain()
        channels.close()
        raise
    return Child(process, channels, ready, clock() - started, output)


async def report(process: Process, reports: socket.socket, timeout: float) -> Ready:
    """Wait for the report of a child or nursery on its boot. Raise `BootFailed` for any report but `Ready`."""
    reader, writer = await asyncio.open_connection(sock=reports, limit=MAX_REPORT)
    try:
        async with asyncio.timeout(timeout):
            received = read_report(await reader.readline())
            if received is None:
                raise BootFailed(f"the child {ending(await process.wait())} before it was ready")
    except (TimeoutError, ValueError) as error:
        raise BootFailed(f"the child was not ready after {timeout:g} s") from error
    finally:
        writer.close()
    if isinstance(received, CannotBoot):
        raise BootFailed(received.message)
    return received
