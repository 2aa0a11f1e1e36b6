"""The nursery: a clean process that has imported the app once, and forks children from it. This is our side of it.

The other side is the child's module with `--nursery`. One datagram asks for a child and carries what it inherits; one
tells its id; one tells how it ended, for the nursery is its parent. It dies with us, and its children with it.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections import deque
from typing import Any

from worker.pool.child import report
from worker.pool.output import Hear, Output
from worker.pool.process import BootFailed, Inherited, Launch, Process, execute, signal_group

STOP_WITHIN = 5.0
_MESSAGE = 64 * 1024


class Forked:
    """A process that the nursery has forked."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait(self) -> int:
        """Wait for its end; return its status as `subprocess` gives it."""
        return await asyncio.shield(self._status)

    def send_signal(self, signal: int) -> None:
        """Send it a signal. Raise `ProcessLookupError` where it has ended."""
        if self._status.done():
            raise ProcessLookupError(self.pid)
        os.kill(self.pid, signal)

    def ended(self, status: int) -> None:
        """Hear how it ended."""
        if not self._status.done():
            self._status.set_result(status)


class Nursery:
    """Starts children by forking them. It opens with the first one, and opens anew where it was lost."""

    def __init__(self, launch: Launch, hear: Hear) -> None:
        self._launch = launch
        self._hear = hear
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._opening = asyncio.Lock()
        self._asked: deque[asyncio.Future[Forked]] = deque()
        self._children: dict[int, Forked] = {}

    @property
    def over(self) -> bool:
        """Whether its process has ended, or has not begun."""
        return self._control is None

    async def start(self, inherited: Inherited) -> Process:
        """Fork a child. Raise `BootFailed` where the nursery cannot import the app, or was lost."""
        async with self._opening:
            if self._control is None:
                await self._open()
        assert self._control is not None
        asked: asyncio.Future[Forked] = asyncio.get_running_loop().create_future()
        self._asked.append(asked)
        descriptors = [inherited.serve, inherited.control, inherited.output, inherited.stacks]
        try:
            socket.send_fds(self._control, [b"fork"], descriptors)
        except OSError as error:
            self._asked.remove(asked)
            raise BootFailed(f"the nursery takes no orders: {error}") from error
        return await asked

    def retire(self) -> None:
        """Let it end with the last of its children."""
        if self._control is not None:
            with contextlib.suppress(OSError):  # it has ended already
                self._control.shutdown(socket.SHUT_WR)

    async def stop(self) -> None:
        """Let it end, and end it where it does not."""
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
        heard, said = socket.socketpair()
        printed, output = os.pipe()
        options = ("--nursery", theirs.fileno(), "--control", said.fileno())
        try:
            process = await execute(self._launch, *options, keep=(theirs.fileno(), said.fileno()), output=output)
        except BaseException:
            ours.close()
            heard.close()
            os.close(printed)
            raise
        finally:
            theirs.close()
            said.close()
            os.close(output)
        Output(printed, process.pid, self._hear)
        try:
            await report(process, heard, self._launch.boot_timeout)
        except BaseException:
            signal_group(process, signal.SIGKILL)
            await process.wait()
            ours.close()
            raise
        ours.setblocking(False)
        self._process, self._control = process, ours
        asyncio.get_running_loop().add_reader(ours, self._take)

    def _take(self) -> None:
        assert self._control is not None
        try:
            message = self._control.recv(_MESSAGE)
        except BlockingIOError:
            return
        except OSError as error:
            self._close(f"the nursery was lost: {error}")
            return
        if not message:
            self._close("the nursery has ended")
            return
        said: dict[str, Any] = json.loads(message)
        if "forked" in said:
            child = self._children[said["forked"]] = Forked(said["forked"])
            self._answer(child)
        elif "exited" in said:
            self._children.pop(said["exited"]).ended(said["status"])
        else:
            self._answer(BootFailed(f"the nursery could not fork: {said['failed']}"))

    def _answer(self, answer: Forked | BootFailed) -> None:
        asked = self._asked.popleft()
        if asked.cancelled():
            if isinstance(answer, Forked):
                answer.send_signal(signal.SIGKILL)  # it may not have its group yet
        elif isinstance(answer, Forked):
            asked.set_result(answer)
        else:
            asked.set_exception(answer)

    def _close(self, why: str) -> None:
        control, self._control = self._control, None
        if control is None:
            return
        asyncio.get_running_loop().remove_reader(control)
        control.close()
        while self._asked:
            self._answer(BootFailed(why))
        for child in self._children.values():  # the kernel has ended them with their parent
            child.ended(-signal.SIGKILL)
        self._children.clear()
