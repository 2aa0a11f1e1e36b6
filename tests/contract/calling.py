"""Steps of tests about calls: ask a question, and serve them."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.calling import CallServer, HeldCall
from bridge.call import Answer, AnswerKind, Question
from bridge.deadline import Deadline
from bridge.errors import NobodyServes
from tests.contract.acts import PATIENCE
from tests.events import new_event

MAIL = ["mail"]


def question(data: bytes = b"?", timeout: float = PATIENCE) -> Question:
    """Return a question."""
    return Question(new_event("mail.sent", data), timeout)


async def ask(broker: Broker, asked: Question, queues: list[str] = MAIL) -> Answer:
    """Ask with a caller of its own."""
    caller = broker.caller()
    try:
        return await caller.ask(asked, queues, Deadline.after(asked.timeout, time.monotonic()))
    finally:
        await caller.close()


def repeated(call: HeldCall) -> Answer:
    """Answer with the question."""
    return Answer(AnswerKind.ANSWERED, call.question.event.data, "text/plain")


Respond = Callable[[HeldCall], Answer]


@asynccontextmanager
async def serving(
    broker: Broker, *queues: str, respond: Respond | None = repeated, most: int = 4
) -> AsyncIterator[CallServer]:
    """Serve calls while the block runs. Without `respond`, the block receives them."""
    server, probe = broker.call_server(), f"probe-{uuid.uuid4().hex}"
    await server.start([*queues, probe], most)

    async def serve(respond: Respond | None) -> None:
        while True:
            call = await server.receive()
            await call.answer(repeated(call) if call.queue == probe or respond is None else respond(call))

    task = asyncio.create_task(serve(respond))
    try:
        await until_served(broker, probe)
        if respond is None:
            task.cancel()
            await asyncio.wait({task})
        yield server
    finally:
        task.cancel()
        await server.close()


async def until_served(broker: Broker, queue: str) -> None:
    """Wait until a question to this queue is answered."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(NobodyServes):
                await ask(broker, question(), [queue])
                return
            await asyncio.sleep(0.01)
