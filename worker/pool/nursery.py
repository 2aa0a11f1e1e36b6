"""The pool's side of the nursery: a process that has imported the app once, and forks children from itself.

`app_adapter/nursery.py` is the other side, `bridge.child_protocol` has the datagrams. The nursery is the parent of its
children, so it reports how they ended. When the pool ends, the kernel ends the nursery, and with it the children.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections import deque
from pathlib import Path

from bridge.child_protocol import (
    FORK,
    MAX_ANSWER,
    CannotFork,
    Exited,
    Forked,
    Inherited,
    NurseryAnswer,
    nursery_options,
    read_answer,
)
from worker.pool.child import report
from worker.pool.output import OnPrinted, Output
from worker.pool.process import BootFailed, Launch, Process, execute, signal_group

STOP_WITHIN = 5.0


class ForkedProcess:
    """A process that the nursery has forked."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait(self) -> int:
        """Wait for its end; return its exit status, or the number of the signal that ended it, negative."""
        return await asyncio.shield(self._status)

    def send_signal(self, signal: int) -> None:
        """Send a signal. Raise `ProcessLookupError` if the process has ended."""
        if self._status.done():
            raise ProcessLookupError(self.pid)
        os.kill(self.pid, signal)

    def ended(self, status: int) -> None:
        """Note that the process has ended with this status."""
        if not self._status.done():
            self._status.set_result(status)


class Nursery:
    """Starts children by forking them. Its process starts with the first child, and again if it was lost."""

    def __init__(self, launch: Launch, on_printed: OnPrinted) -> None:
        self._launch = launch
        self._on_printed = on_printed
        self._process: asyncio.subprocess.Process | None = None
        self._orders: socket.socket | None = None
        self._opening = asyncio.Lock()
        self._asked: deque[asyncio.Future[ForkedProcess]] = deque()
        self._children: dict[int, ForkedProcess] = {}

    @property
    def directory(self) -> Path:
        """The directory that the nursery and its children start in."""
        return self._launch.directory

    @property
    def over(self) -> bool:
        """True if the nursery's process has ended, or has not started."""
        return self._orders is None

    async def start(self, inherited: Inherited) -> Process:
        """Fork a child. Raise `BootFailed` if the nursery cannot import the app, or was lost."""
        async with self._opening:
            if self._orders is None:
                await self._open()
        assert self._orders is not None
        asked: asyncio.Future[ForkedProcess] = asyncio.get_running_loop().create_future()
        self._asked.append(asked)
        try:
            socket.send_fds(self._orders, [FORK], list(inherited))
        except OSError as error:
            self._asked.remove(asked)
            raise BootFailed(f"the nursery takes no orders: {error}") from error
        return await asked

    def retire(self) -> None:
        """Fork no further child. The nursery's process ends with the last of its children."""
        if self._orders is not None:
            with contextlib.suppress(OSError):  # the process has ended already
                self._orders.shutdown(socket.SHUT_WR)

    async def stop(self) -> None:
        """Wait for the end of the nursery's process, and kill it after `STOP_WITHIN` seconds."""
        if self._process is None:
            return
        self.retire()
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await self._process.wait()
        except TimeoutError:
            signal_group(self._process, signal.SIGKILL)
            await self._process.wait()
        self._close("the nursery was stopped")

    async def _open(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reports, control = socket.socketpair()
        printed, output = os.pipe()
        keep = (theirs.fileno(), control.fileno())
        try:
            process = await execute(self._launch, *nursery_options(*keep), keep=keep, output=output)
        except BaseException:
            ours.close()
            reports.close()
            os.close(printed)
            raise
        finally:
            theirs.close()
            control.close()
            os.close(output)
        Output(printed, process.pid, self._on_printed)
        try:
            await report(process, reports, self._launch.boot_timeout)
        except BaseException:
            signal_group(process, signal.SIGKILL)
            await process.wait()
            ours.close()
            raise
        ours.setblocking(False)
        self._process, self._orders = process, ours
        asyncio.get_running_loop().add_reader(ours, self._receive)

    def _receive(self) -> None:
        assert self._orders is not None
        try:
            datagram = self._orders.recv(MAX_ANSWER)
        except BlockingIOError:
            return
        except OSError as error:
            self._close(f"the nursery was lost: {error}")
            return
        if not datagram:
            self._close("the nursery has ended")
            return
        answer = read_answer(datagram)
        if answer is None or not self._take(answer):
            assert self._process is not None
            signal_group(self._process, signal.SIGKILL)
            self._close(f"the nursery was killed: it sent {datagram[:100]!r}, which is no answer")

    def _take(self, answer: NurseryAnswer) -> bool:
        """Apply an answer. Return False if it answers no order."""
        match answer:
            case Forked(pid=pid) if self._asked:
                child = self._children[pid] = ForkedProcess(pid)
                self._answer(child)
            case CannotFork(message=message) if self._asked:
                self._answer(BootFailed(f"the nursery could not fork: {message}"))
            case Exited(pid=pid, status=status) if pid in self._children:
                self._children.pop(pid).ended(status)
            case _:
                return False
        return True

    def _answer(self, answer: ForkedProcess | BootFailed) -> None:
        asked = self._asked.popleft()
        if asked.cancelled():
            if isinstance(answer, ForkedProcess):
                answer.send_signal(signal.SIGKILL)  # not to its process group, which the child may not have made yet
        elif isinstance(answer, ForkedProcess):
            asked.set_result(answer)
        else:
            asked.set_exception(answer)

    def _close(self, why: str) -> None:
        orders, self._orders = self._orders, None
        if orders is None:
            return
        asyncio.get_running_loop().remove_reader(orders)
        orders.close()
        while self._asked:
            self._answer(BootFailed(why))
        for child in self._children.values():  # the kernel has ended them with their parent
            child.ended(-signal.SIGKILL)
        self._children.clear()
