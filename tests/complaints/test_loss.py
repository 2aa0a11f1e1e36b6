"""Complaints about events that are lost without an error."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from tests.complaints.acts import done, outlive_a_crash, ready_worker
from tests.complaints.web import Web
from tests.journey.site import Site
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq

LARGEST = 300_000
"""The size limit in bytes of the node in these tests: smaller than an app's own limit of 1 MiB."""


@pytest.fixture
def frugal(node: RabbitNode) -> Iterator[None]:
    """Makes the node refuse messages above `LARGEST` on channels that are opened during the test."""
    # RabbitMQ reads the setting at each channel, and since 4.0 a persistent term that it sets at the start.
    setting = "application:set_env(rabbit, max_message_size, {0}), persistent_term:put(max_message_size, {0})."
    before = node.eval("element(2, application:get_env(rabbit, max_message_size)).")
    node.eval(setting.format(LARGEST))
    yield
    node.eval(setting.format(before))


async def test_an_event_that_the_broker_never_had_is_not_taken_for_deferred(
    hurried: None, node: RabbitNode, site: Site, web: Web
) -> None:
    """celery#5410: without confirms `delay()` returns at once, although a broker in trouble drops the message. Here
    `defer()` raises `DeferUnconfirmed` if a dying broker has not confirmed an event, and all deferred events run."""
    answered = [[await web.works()], await web.defer("ok", count=4)]
    await outlive_a_crash()
    await asyncio.to_thread(node.pause)
    answered.append(await web.defer("ok", count=4))  # written to the broker's socket, and never read
    await asyncio.to_thread(node.kill)
    await asyncio.to_thread(node.start)
    answered.append([await web.works()])

    assert {answer.error for answer in answered[2]} == {"DeferUnconfirmed"}
    worker = site.worker("--until-settled")
    assert await worker.ended() == 0, worker.log
    deferred = {answer.id for answers in answered for answer in answers if not answer.error}
    assert deferred <= {effect.id for effect in site.effects(began=False)}


async def test_an_event_that_a_full_queue_refuses_is_not_taken_for_deferred(
    hurried: None, node: RabbitNode, site: Site, web: Web
) -> None:
    """celery#5410: a queue with a length limit drops further messages. Here `defer()` raises `DeferRejected`."""
    answers = [await web.works()]
    pattern = f"^{site.namespace}.q."
    await asyncio.to_thread(node.operator.limit_queues, pattern, 1)
    try:
        while answers[-1].error != "DeferRejected" and len(answers) < 50:
            answers += await web.defer("ok")
    finally:
        await asyncio.to_thread(node.operator.clear_limit)

    assert answers[-1].error == "DeferRejected"
    worker = site.worker("--until-settled")
    assert await worker.ended() == 0, worker.log
    deferred = {answer.id for answer in answers if not answer.error}
    # An event may run if the request timed out before the refusal arrived.
    uncertain = sum(answer.error == "DeferUnconfirmed" for answer in answers)
    run = {effect.id for effect in site.effects(began=False)}
    assert deferred <= run
    assert len(run - deferred) <= uncertain


async def test_an_event_that_one_of_two_queues_refuses_may_run(node: RabbitNode, site: Site, web: Web) -> None:
    """celery#5410: RabbitMQ sends a nack if one queue is full, although the other queues have the event. Here `defer()`
    raises `PartlyRejected`, and the event is not published to the other queues again."""
    site.configure("[queues.short]\npatterns = ['do.#']\n[queues.long]\npatterns = ['do.#']\n")
    answers = [await web.works()]
    pattern = f"^{site.namespace}.q.short$"
    await asyncio.to_thread(node.operator.limit_queues, pattern, 1)
    try:
        while not answers[-1].error and len(answers) < 50:
            answers += await web.defer("ok")
        assert answers[-1].error == "PartlyRejected"
    finally:
        await asyncio.to_thread(node.operator.clear_limit)

    assert (await site.backlog())["long"].ready == len(answers)


async def test_an_event_whose_queue_was_deleted_runs(node: RabbitNode, site: Site, web: Web) -> None:
    """dramatiq#832: the queue is deleted, every `send()` succeeds, but no message ever runs, and the workers loop.
    Here the first process that finds the queue missing declares it again, also in a web request."""
    await web.works()
    await asyncio.to_thread(node.operator.delete_queue, f"{site.namespace}.q.default")

    deferred = await web.works()

    worker = await ready_worker(site)
    await done(site, worker, deferred.id)


async def test_an_event_that_no_queue_takes_is_not_taken_for_deferred(site: Site, web: Web) -> None:
    """dramatiq#832: a message that matches no queue is dropped without an error. Here `defer()` raises
    `Unroutable`."""
    site.configure("[queues.mail]\npatterns = ['mail.#']\n")

    answers = await web.defer("ok", count=2)

    assert {answer.error for answer in answers} == {"Unroutable"}


async def test_an_event_that_is_larger_than_the_broker_takes_is_told_at_once(
    frugal: None, node_log: Callable[[], str], site: Site, web: Web
) -> None:
    """kombu#2336: the broker closes the channel; only the broker's log has the reason, and the task is lost. Here the
    error names the limit, the publish is not repeated, and events of other threads arrive."""
    await web.works()
    answers, (large,) = await asyncio.gather(web.defer("ok", count=7), web.defer("ok", padding=LARGEST))

    assert large.error == "TooLarge"
    assert str(LARGEST) in large.says
    assert (await asyncio.to_thread(node_log)).count("is larger than configured max size") == 1
    assert {answer.error for answer in answers} == {""}
    worker = site.worker("--until-settled")
    assert await worker.ended() == 0, worker.log
    assert {answer.id for answer in answers} <= {effect.id for effect in site.effects(began=False)}
