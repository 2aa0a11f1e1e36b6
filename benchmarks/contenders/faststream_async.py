"""FastStream with a worker of two processes: the peer that is asynchronous throughout. The worker runs this file.

FastStream sends on an event loop. A Flask handler has none, so the sender here runs one in a thread and waits for each
confirmation, as this project's `defer()` does. A process takes up to 100 messages at a time. The processes are started
here, as `faststream run --workers` starts them: that program needs an older watchfiles than this project has.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from faststream import FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue

from benchmarks.contender import PROCESSES, URL, Contender, Promise, Send
from benchmarks.records import record

_QUEUE_TYPE = "BENCH_FASTSTREAM_QUEUE_TYPE"

broker = RabbitBroker(os.environ.get(URL, "amqp://localhost/"))
app = FastStream(broker)
queue = RabbitQueue("benchmark.sent", queue_type=QueueType(os.environ.get(_QUEUE_TYPE, "classic")), durable=True)


@broker.subscriber(queue, channel=Channel(prefetch_count=100))  # type: ignore[untyped-decorator]  # not in every environment
async def handle(sent: float) -> None:
    """The subscriber."""
    record(sent)


@contextmanager
def _sending() -> Iterator[Send]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(_connect(), loop).result()

    def send(sent: float) -> None:
        asyncio.run_coroutine_threadsafe(broker.publish(sent, queue, persist=True), loop).result()

    yield send
    asyncio.run_coroutine_threadsafe(broker.stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


async def _connect() -> None:
    await broker.connect()
    await broker.declare_queue(queue)  # so that nothing that is sent before the worker starts is dropped


def _contender(queue_type: str) -> Contender:
    return Contender(
        name=f"FastStream, {queue_type} queue",
        broker="rabbitmq",
        promise=Promise(confirmed=True, kept=f"{queue_type} queue", runs="bare function"),
        command=("python", "-m", __name__),
        sending=_sending,
        environment={_QUEUE_TYPE: queue_type},
    )


CONTENDERS = {"faststream-quorum": _contender("quorum"), "faststream-classic": _contender("classic")}


def _serve() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    asyncio.run(app.run())


def _main() -> None:
    forking = multiprocessing.get_context("fork")
    processes = [forking.Process(target=_serve) for _ in range(PROCESSES)]
    for process in processes:
        process.start()

    def terminate(*_: object) -> None:
        for process in processes:
            process.terminate()

    signal.signal(signal.SIGTERM, terminate)
    for process in processes:
        process.join()


if __name__ == "__main__":
    _main()
