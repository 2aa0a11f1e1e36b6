"""The part that all slots share which run one request at a time: a task waits for each exchange."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence

from bridge.outcome import Exchange
from worker.slots.slot import NotTaken, Request, Run


class OneAtATime(ABC):
    """A slot whose `exchange` sends a request and waits for its end."""

    _task: asyncio.Task[None] | None = None

    @property
    @abstractmethod
    def usable(self) -> bool:
        """True if the slot can run a further request."""

    @abstractmethod
    async def exchange(self, request: Request, deadline: float) -> Exchange | NotTaken:
        """Send a request and return its exchange, at most `deadline` seconds later."""

    @property
    def room(self) -> int:
        """1 if the slot is usable and runs nothing."""
        return int(self.usable and self._task is None)

    @property
    def at_a_time(self) -> int:
        """1: each reply is read on its own."""
        return 1

    def begin(self, run: Run) -> None:
        """Send the request of a run."""
        self._task = asyncio.create_task(self._run(run))

    def recall(self) -> Sequence[Run]:
        """Return nothing: no run waits behind another."""
        return ()

    def abandon(self, run: Run) -> None:
        """Cancel the exchange of a run."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self, run: Run) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            exchange = await self.exchange(run.request, run.deadline)
        except Exception as error:
            self._task = None
            run.line.failed(run, error)
        else:
            self._task = None
            run.line.ended(run, exchange, clock() - began)
