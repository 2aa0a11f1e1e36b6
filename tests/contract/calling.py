"""Steps of tests about calls: ask a question, and serve them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.calling import CallServer, HeldCall
from bridge.call import Answer, AnswerKind, Question
from bridge.deadline import Deadline
from tests.events import new_event
from tests.limits import PATIENCE

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
    server = broker.call_server()
    await server.start(queues, most)

    async def serve(respond: Respond) -> None:
        while True:
            call = await server.receive()
            await call.answer(respond(call))

    task = None if respond is None else asyncio.create_task(serve(respond))
    try:
        yield server
    finally:
        if task is not None:
            task.cancel()
        await server.close()
