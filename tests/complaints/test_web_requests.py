"""Complaints about web requests that hang because the broker does not answer."""

import asyncio

import pytest

from tests.complaints.web import LONGEST, THREADS, Web
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq


@pytest.mark.parametrize("down", ["stopped", "frozen"])
async def test_requests_do_not_hang_while_the_broker_is_down(
    hurried: None, node: RabbitNode, web: Web, down: str
) -> None:
    """celery#4296, celery#6911: `delay()` waits without limit in one request after another, until the site has no free
    thread. Here `defer()` raises within its timeout, and works again after the outage without a restart."""
    leave, come_back = (node.stop_app, node.start_app) if down == "stopped" else (node.pause, node.resume)
    await web.works()
    await asyncio.to_thread(leave)
    try:
        answers = await web.defer("ok", count=THREADS)
    finally:
        await asyncio.to_thread(come_back)

    assert {answer.error for answer in answers} <= {"DeferUnavailable", "DeferUnconfirmed"}
    assert max(answer.seconds for answer in answers) < LONGEST
    await web.works()


async def test_requests_do_not_hang_while_the_broker_is_out_of_memory(
    hurried: None, node: RabbitNode, web: Web
) -> None:
    """celery#2689, aio-pika#506: a memory alarm blocks publishing connections; the first call returns, further calls
    hang, and there is no error. Here `defer()` raises within its timeout and names the reason."""
    await web.works()
    await asyncio.to_thread(node.raise_memory_alarm)
    try:
        answers = await web.defer("ok")
        answers += await web.defer("ok", count=THREADS)
    finally:
        await asyncio.to_thread(node.clear_memory_alarm)

    assert {answer.error for answer in answers} <= {"DeferUnavailable", "DeferUnconfirmed"}
    assert max(answer.seconds for answer in answers) < LONGEST
    assert any("out of memory" in answer.says for answer in answers)
    await web.works()
