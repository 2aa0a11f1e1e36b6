"""Complaints about events that are gone although nobody was told."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.complaints.acts import done, outlive_a_crash, ready_worker
from tests.complaints.web import Web
from tests.journey.site import Site
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq

LARGEST = 300_000
"""Bytes that this node takes at most: less than an app's own limit, which is a mebibyte."""


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    """A node that takes no large messages."""
    node = RabbitNode()
    (node.directory / "rabbitmq.conf").write_text(f"max_message_size = {LARGEST}\n")
    with node:
        yield node


async def test_an_event_that_the_broker_never_had_is_not_taken_for_deferred(
    node: RabbitNode, site: Site, web: Web
) -> None:
    """celery#5410: without confirms `delay()` returns at once, though a broker in trouble drops the message. Here what
    a dying broker did not confirm is told as such, and whatever was told as deferred runs."""
    told = [[await web.works()], await web.defer("ok", count=4)]
    await outlive_a_crash()
    await asyncio.to_thread(node.pause)
    told.append(await web.defer("ok", count=4))  # written to the broker's socket, and never read
    await asyncio.to_thread(node.kill)
    await asyncio.to_thread(node.start)
    told.append([await web.works()])

    assert {answer.error for answer in told[2]} == {"DeferUnconfirmed"}
    worker = site.worker("--until-settled")
    assert await worker.ended() == 0, worker.log
    deferred = {answer.id for answers in told for answer in answers if not answer.error}
    assert deferred <= {effect.id for effect in site.effects(began=False)}


async def test_an_event_that_a_full_queue_refuses_is_not_taken_for_deferred(
    node: RabbitNode, site: Site, web: Web
) -> None:
    """celery#5410, too: a queue with a limit drops what is beyond it. Here the request is told that it was refused."""
    answers = [await web.works()]
    pattern = f"^{site.namespace}.q."
    await asyncio.to_thread(node.ctl, "set_policy", "short", pattern, '{"max-length": 1}', "--apply-to", "queues")
    try:
        while answers[-1].error != "DeferRejected" and len(answers) < 50:
            answers += await web.defer("ok")
    finally:
        await asyncio.to_thread(node.ctl, "clear_policy", "short")

    assert answers[-1].error == "DeferRejected"
    worker = site.worker("--until-settled")
    assert await worker.ended() == 0, worker.log
    deferred = {answer.id for answer in answers if not answer.error}
    # Where the time is over before the refusal has come, nobody knows.
    perhaps = sum(answer.error == "DeferUnconfirmed" for answer in answers)
    run = {effect.id for effect in site.effects(began=False)}
    assert deferred <= run
    assert len(run - deferred) <= perhaps


async def test_an_event_that_one_of_two_queues_refuses_may_run(node: RabbitNode, site: Site, web: Web) -> None:
    """celery#5410, too: RabbitMQ says no where one queue is full, and the others have it. So the request is told
    that it may run, and nothing is published again into the others."""
    site.configure("[queues.short]\npatterns = ['do.#']\n[queues.long]\npatterns = ['do.#']\n")
    answers = [await web.works()]
    pattern = f"^{site.namespace}.q.short$"
    await asyncio.to_thread(node.ctl, "set_policy", "short", pattern, '{"max-length": 1}', "--apply-to", "queues")
    try:
        while not answers[-1].error and len(answers) < 50:
            answers += await web.defer("ok")
        assert answers[-1].error == "PartlyRejected"
    finally:
        await asyncio.to_thread(node.ctl, "clear_policy", "short")

    assert (await site.backlog())["long"].ready == len(answers)


async def test_an_event_whose_queue_was_deleted_runs(node: RabbitNode, site: Site, web: Web) -> None:
    """dramatiq#832: somebody deletes the queue, every `send()` succeeds, and nothing ever runs; the workers only loop.
    Here whoever meets it first declares the queue again, be it a web request."""
    await web.works()
    await asyncio.to_thread(node.ctl, "delete_queue", f"{site.namespace}.q.default")

    deferred = await web.works()

    worker = await ready_worker(site)
    await done(site, worker, deferred.id)


async def test_an_event_that_no_queue_takes_is_not_taken_for_deferred(site: Site, web: Web) -> None:
    """dramatiq#832, too: nobody is told that a message was not routed anywhere. Here the request is."""
    site.configure("publish_timeout = '20s'\n[queues.mail]\npatterns = ['mail.#']\n")

    answers = await web.defer("ok", count=2)

    assert {answer.error for answer in answers} == {"Unroutable"}


async def test_an_event_that_is_larger_than_the_broker_takes_is_told_at_once(
    node: RabbitNode, site: Site, web: Web
) -> None:
    """kombu#2336: the broker closes the channel, its log says why, the publisher's does not, and the task is gone.
    Here the request is told the limit, nothing is tried in vain, and what others publish meanwhile arrives."""
    await web.works()
    answers, (large,) = await asyncio.gather(web.defer("ok", count=7), web.defer("ok", padding=LARGEST))

    assert large.error == "TooLarge"
    assert str(LARGEST) in large.says
    assert (await asyncio.to_thread(node.logged)).count("is larger than configured max size") == 1
    assert {answer.error for answer in answers} == {""}
    worker = site.worker("--until-settled")
    assert await worker.ended() == 0, worker.log
    assert {answer.id for answer in answers} <= {effect.id for effect in site.effects(began=False)}
