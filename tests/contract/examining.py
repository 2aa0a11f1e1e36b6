"""Steps that the tests of the doctor on RabbitMQ share: damage a site, examine it, and follow the next step."""

import re
import shlex
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import aiormq
from aiormq.abc import AbstractChannel

from bridge.brokers.contract.findings import Finding, FindingState
from bridge.brokers.contract.inspection import Examination, SiteOnBroker
from bridge.brokers.opening import inspect
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.queues import Queue
from tests.contract.acts import eventually
from tests.managed_node import ManagedNode
from tests.rabbitmq_node import RabbitNode

QUEUES = (Queue("mail", ("mail.#",)), Queue("default"))

Hurt = Callable[[AbstractChannel], Awaitable[object]]


@asynccontextmanager
async def site_of_its_own(managed: ManagedNode) -> AsyncIterator[SiteOnBroker]:
    """Return a site that is in order, except that it has no consumers. It is removed afterwards."""
    place = SiteOnBroker(managed.node.url, f"t{uuid.uuid4().hex[:8]}", QUEUES, management_url=managed.management_url)
    await declared(place)
    yield place
    await RabbitBroker.from_url(place.url, place.namespace).remove(QUEUES)


async def declared(place: SiteOnBroker) -> None:
    """Declare the objects that a site needs."""
    await RabbitBroker.from_url(place.url, place.namespace).declare(place.queues)


def elsewhere(
    place: SiteOnBroker, url: str, *, declares: bool = True, management_url: str | None = None
) -> SiteOnBroker:
    """Return the same site with another user, host or setting."""
    return SiteOnBroker(url, place.namespace, place.queues, declares, management_url or place.management_url)


async def hurt(place: SiteOnBroker, act: Hurt) -> None:
    """Change the site's objects, as an operator may."""
    async with aiormq.connect(place.url) as connection:
        await act(await connection.channel())


def about(examination: Examination, subject: str) -> Sequence[Finding]:
    """Return the findings about a subject."""
    return [finding for finding in examination.findings if finding.subject == subject]


async def the_wrong_one(place: SiteOnBroker, subject: str) -> Finding:
    """Return the only finding that reports a problem with this subject."""
    (found,) = [each for each in about(await inspect(place), subject) if each.state is FindingState.WRONG]
    return found


async def becomes(place: SiteOnBroker, subject: str, state: FindingState) -> Sequence[Finding]:
    """Wait until all findings about a subject have a state: the management API reports changes late."""
    return await eventually(
        lambda: findings_about(place, subject), lambda found: bool(found) and all(each.state is state for each in found)
    )


async def findings_about(place: SiteOnBroker, subject: str) -> Sequence[Finding]:
    """Examine the site, and return the findings about a subject."""
    return about(await inspect(place), subject)


def follow(node: RabbitNode, finding: Finding) -> None:
    """Run the rabbitmqctl command of a next step."""
    step = finding.next_step or ""
    (command,) = [part for part in step.split("; ") if re.search(r"(^|: )rabbitmqctl ", part)]
    node.ctl(*shlex.split(command[command.index("rabbitmqctl ") :])[1:])


def delete(managed: ManagedNode, finding: Finding) -> None:
    """Send the request of the next step's curl command."""
    words = shlex.split((finding.next_step or "").partition("curl ")[2].split(";")[0])
    assert words[:4] == ["-u", "guest", "-X", "DELETE"]
    managed.request("DELETE", words[4])
