"""What the tests of the doctor on RabbitMQ do again and again: hurt a site, examine it, and follow the next step."""

import shlex
from collections.abc import Awaitable, Callable, Sequence

import aiormq
from aiormq.abc import AbstractChannel

from bridge.brokers.examining import Place, examine
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.findings import Examination, Finding, State
from tests.contract.acts import eventually
from tests.managed_node import ManagedNode
from tests.rabbitmq_node import RabbitNode

Hurt = Callable[[AbstractChannel], Awaitable[object]]


async def declared(place: Place) -> None:
    """Declare what a site needs."""
    await RabbitBroker.from_url(place.url, place.namespace).declare(place.queues)


def elsewhere(place: Place, url: str, *, declares: bool = True, management_url: str | None = None) -> Place:
    """The same site, seen by somebody else."""
    return Place(url, place.namespace, place.queues, declares, management_url or place.management_url)


async def hurt(place: Place, act: Hurt) -> None:
    """Do something to what the site has, as an operator may."""
    async with aiormq.connect(place.url) as connection:
        await act(await connection.channel())


def about(examination: Examination, subject: str) -> Sequence[Finding]:
    """The findings about a subject."""
    return [finding for finding in examination.findings if finding.subject == subject]


async def the_wrong_one(place: Place, subject: str) -> Finding:
    """The one finding that something is wrong with this subject."""
    (found,) = [each for each in about(await examine(place), subject) if each.state is State.WRONG]
    return found


async def becomes(place: Place, subject: str, state: State) -> Sequence[Finding]:
    """Wait until all findings about a subject are of a state: the management tells with a delay."""
    return await eventually(
        lambda: findings_about(place, subject), lambda found: bool(found) and all(each.state is state for each in found)
    )


async def findings_about(place: Place, subject: str) -> Sequence[Finding]:
    """What an examination finds now about a subject."""
    return about(await examine(place), subject)


def follow(node: RabbitNode, finding: Finding) -> None:
    """Run the rabbitmqctl command of a next step."""
    step = finding.next_step or ""
    (command,) = [part for part in step.split("; ") if part.startswith("rabbitmqctl ")]
    node.ctl(*shlex.split(command)[1:])


def delete(managed: ManagedNode, finding: Finding) -> None:
    """Send the request of the next step's curl command."""
    words = shlex.split((finding.next_step or "").partition("curl ")[2].split(";")[0])
    assert words[:4] == ["-u", "guest", "-X", "DELETE"]
    managed.request("DELETE", words[4])
