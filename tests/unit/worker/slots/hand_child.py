"""A child that a test plays by hand: it takes tokens, and writes replies and output, exactly when the test says so."""

import asyncio
import os
import select
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import cast

from bridge.child_protocol import TOKEN_SIZE, Extend, Extended, Progress, output_mark, read_tokens
from bridge.moments import Moment
from tests.limits import PATIENCE
from tests.unit.bridge.fastcgi.application import STDERR, STDOUT, end, record
from worker.pool.child import Child
from worker.pool.output import Output
from worker.pool.start_tokens import StartTokens
from worker.slots.child_slot import ChildSlot
from worker.slots.depth import Depth
from worker.slots.slots import Slots


@dataclass
class _News:
    on_news: Callable[[Progress | Extend], None] = lambda news: None
    answers: list[Extended] = field(default_factory=list)

    def answer(self, answer: Extended) -> None:
        self.answers.append(answer)


class Deep(Depth):
    """A depth that does not change. `slow` counts the slow events."""

    slow = 0

    def note(self, clock: float, cpu: float, events: int = 1) -> None:
        """Keep the depth."""

    def note_slow(self) -> None:
        """Keep the depth."""
        self.slow += 1


class HandChild:
    """The child's ends, and what its keeper was told. `stacks` is what it answers to SIGUSR2."""

    def __init__(self, pid: int = 17) -> None:
        self.pid = pid
        self.socket, self.theirs = socket.socketpair()
        self.theirs.setblocking(False)
        self.tokens = StartTokens()
        self.depth = Deep(0)
        reading, self.writing = os.pipe()
        self.output = Output(reading, pid, lambda *_: None)
        self.news = _News()
        self.on_end: Callable[[], None] = lambda: None
        self.used = False
        self.runnable = False
        self.cpu = 0.0
        self.marked = False
        """True if the token that was taken last asks for an output mark."""
        self.told: list[str] = []

    def cpu_seconds(self) -> float:
        return self.cpu

    def is_runnable(self) -> bool:
        return self.runnable

    async def stacks(self) -> bytes:
        return b"its stacks"

    async def destroy(self, grace: float) -> None:
        self.told.append("destroyed")

    async def exited(self) -> str:
        return "was ended by SIGKILL"

    def kill(self) -> None:
        self.told.append("killed")

    def served(self, child: Child, requests: int = 1) -> None:
        self.told += ["served"] * requests

    def condemn(self, child: Child, why: str) -> None:
        self.told.append(why)

    def cut_off(self, child: Child) -> None:
        self.told.append("cut off")

    def take_token(self) -> int:
        """Take the next token, as the child does before it begins a request."""
        assert select.select([self.tokens], [], [], PATIENCE)[0], "the worker has given no token"
        # The worker's object keeps the end that the child inherits.
        ((number, self.marked),) = read_tokens(os.read(self.tokens.fileno(), TOKEN_SIZE))
        return number

    def tokens_left(self) -> bool:
        """Return whether the child has a token to take."""
        return bool(select.select([self.tokens], [], [], 0)[0])

    async def has_token(self) -> None:
        """Wait until the child has a token to take."""
        while not self.tokens_left():
            await asyncio.sleep(0.001)

    def take_no_more_tokens(self) -> None:
        """Let no further token come, as at SIGTERM. The child does not take those that have come."""
        with socket.socket(fileno=os.dup(self.tokens.fileno())) as end:
            end.shutdown(socket.SHUT_RD)

    async def read_all(self) -> None:
        """Read the requests that have come, until nothing more comes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while await asyncio.get_running_loop().sock_recv(self.theirs, 1 << 20):
                    pass

    def reply(self, *numbers: int, errors: bytes = b"") -> None:
        """Write whole replies, in one piece."""
        self.theirs.sendall(self.replies(*numbers, errors=errors))

    @staticmethod
    def replies(*numbers: int, errors: bytes = b"") -> bytes:
        """Return the bytes of whole replies."""
        head = b"Status: 200 OK\r\nBridge-Outcome: delivered\r\n\r\n"
        return b"".join(
            (record(STDERR, errors, request_id=number) if errors else b"")
            + record(STDOUT, head, request_id=number)
            + end(request_id=number)
            for number in numbers
        )

    def print(self, text: bytes, mark: int | None = None) -> None:
        """Print, after the mark of a request."""
        os.write(self.writing, (b"" if mark is None else output_mark(mark)) + text)

    def leave(self) -> None:
        """End the connection, as a killed child does."""
        self.theirs.close()

    def close(self) -> None:
        """Close what the test has left open."""
        self.leave()
        self.socket.close()
        self.tokens.close()
        self.output.close()
        os.close(self.writing)


@asynccontextmanager
async def hand_child(
    slots: Slots, depth: int = 8, moments: list[Moment] | None = None, pid: int = 17
) -> AsyncIterator[HandChild]:
    """Open a slot whose child is played by hand."""
    child = HandChild(pid)
    tell = (lambda moment: None) if moments is None else moments.append
    deep = child.depth = Deep(depth)
    deep.requests = depth
    slot = ChildSlot(cast("Child", child), child, deep, tell)
    slots.open(slot)
    try:
        yield child
    finally:
        child.on_end()
        child.close()
