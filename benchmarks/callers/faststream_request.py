"""FastStream: `request()`, which answers by direct reply-to. One process, no isolation. The worker runs this file."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

from faststream import FastStream
from faststream.rabbit import RabbitBroker

from benchmarks.callers.caller import Ask, Caller
from benchmarks.contender import URL

broker = RabbitBroker(os.environ.get(URL, "amqp://localhost/"))
app = FastStream(broker)


@broker.subscriber("benchmark.asked")  # type: ignore[untyped-decorator]  # faststream is not a part of every environment
async def handle(number: float) -> float:
    """The subscriber."""
    return number


@contextmanager
def _asking() -> Iterator[Ask]:
    async def ask(number: float) -> float:
        answer = await broker.request(number, "benchmark.asked", timeout=30)
        return float(await answer.decode())

    with asyncio.Runner() as runner:
        runner.run(broker.connect())
        yield lambda number: runner.run(ask(number))
        runner.run(broker.stop())


CALLERS = {
    "faststream": Caller(
        "FastStream, `request()`",
        "rabbitmq",
        ("python", "-m", __name__),
        _asking,
    )
}


if __name__ == "__main__":
    asyncio.run(app.run())
