"""Claims: exclusive rights with a name."""

import asyncio
import contextlib
import os
import subprocess
import sys

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.claims import ClaimTaken
from bridge.brokers.opening import open_broker
from tests.contract.acts import eventually
from tests.contract.conftest import OpenBroker, Site
from tests.contract.sqlite_site import SqliteSite
from tests.limits import PATIENCE
from tests.rabbitmq_node import RabbitNode

MOMENTS = 150
"""The moments of a try in which it is cancelled: a try takes some 20 ms on RabbitMQ."""

HOLDER = """
import asyncio, sys
from bridge.brokers.opening import open_broker

async def hold():
    async with open_broker(sys.argv[1], sys.argv[2]).claim("nightly"):
        print("held", flush=True)
        await asyncio.Event().wait()

asyncio.run(hold())
"""
"""A program that holds a claim until it is killed."""


async def test_one_holds_it(another_broker: OpenBroker) -> None:
    """A second holder is refused at once with the claim's name; after the first one has released the claim, it is
    free."""
    first, second = another_broker(), another_broker()

    async with first.claim("nightly") as claim:
        assert claim.held
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(ClaimTaken, match="another process holds the claim 'nightly'"):
                async with second.claim("nightly"):
                    pytest.fail("two hold one claim")
    assert not claim.held

    async with second.claim("nightly"):
        pass


@pytest.mark.parametrize("taken", [False, True], ids=["free", "taken"])
async def test_a_try_that_is_cancelled_ends(another_broker: OpenBroker, taken: bool) -> None:
    """In whatever moment of the try: neither an answer that comes too late nor an error takes its place."""
    first, second = another_broker(), another_broker()

    async def try_on() -> None:
        while True:
            with contextlib.suppress(ClaimTaken):
                async with second.claim("nightly"):
                    pass
            await asyncio.sleep(0)

    async with first.claim("nightly" if taken else "hourly"):
        for moment in range(MOMENTS):
            trying = asyncio.create_task(try_on())
            await asyncio.sleep(moment * 0.0005)
            trying.cancel()
            ended, _ = await asyncio.wait({trying}, timeout=PATIENCE)
            assert ended
            assert trying.cancelled()


async def test_claims_are_apart(broker: Broker) -> None:
    """Each name is a separate claim."""
    async with broker.claim("nightly") as one, broker.claim("hourly") as other:
        assert one.held
        assert other.held


async def test_an_error_lets_go(broker: Broker) -> None:
    """The claim is free again after an error in the block."""
    with pytest.raises(ZeroDivisionError):
        async with broker.claim("nightly"):
            raise ZeroDivisionError

    async with broker.claim("nightly"):
        pass


async def test_it_ends_with_its_holder(broker: Broker, site: Site) -> None:
    """A holder that is killed releases its claim, without any clock."""
    program = (sys.executable, "-c", HOLDER, site.url, site.namespace)
    holder = await asyncio.create_subprocess_exec(*program, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"held\n"
        with pytest.raises(ClaimTaken):
            await broker.claim("nightly").__aenter__()
    finally:
        holder.kill()
        await holder.wait()

    async def held() -> bool:
        try:
            async with broker.claim("nightly"):
                return True
        except ClaimTaken:
            return False

    await eventually(held, bool)


async def test_nobody_is_told_of_a_loss_that_is_none(broker: Broker) -> None:
    """`until_lost` does not return while the claim is held."""
    async with broker.claim("nightly") as claim:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await claim.until_lost()


async def test_a_file_names_its_holder(sqlite_site: SqliteSite) -> None:
    """On SQLite the refusal has the holder's process id."""
    broker = open_broker(sqlite_site.url, sqlite_site.namespace)

    async with broker.claim("nightly"):
        with pytest.raises(ClaimTaken, match=rf"\(pid {os.getpid()}\)$") as refused:
            await broker.claim("nightly").__aenter__()

    assert refused.value.holder == f"pid {os.getpid()}"


async def test_a_file_that_is_taken_away(sqlite_site: SqliteSite) -> None:
    """If an operator removes the file, the holder notices, and another process can get the claim."""
    broker = open_broker(sqlite_site.url, sqlite_site.namespace)

    async with broker.claim("nightly") as claim:
        (file,) = sqlite_site.path.parent.glob("*.claim.nightly")
        file.unlink()
        async with asyncio.timeout(PATIENCE):
            await claim.until_lost()
        assert not claim.held
        async with broker.claim("nightly") as another:
            assert another.held


@pytest.mark.rabbitmq
async def test_a_connection_that_is_cut(node: RabbitNode) -> None:
    """On RabbitMQ the claim ends with its connection: the holder notices, and the claim is free."""
    broker = open_broker(node.url, "cut")

    async with broker.claim("nightly") as claim:
        await asyncio.to_thread(node.operator.close_all_connections)
        async with asyncio.timeout(PATIENCE):
            await claim.until_lost()
        assert not claim.held
        async with broker.claim("nightly") as another:
            assert another.held


@pytest.mark.rabbitmq
async def test_a_queue_that_is_deleted(node: RabbitNode) -> None:
    """On RabbitMQ an operator can delete the queue that is the claim, and the holder notices."""
    broker = open_broker(node.url, "deleted")

    async with broker.claim("nightly") as claim:
        await asyncio.to_thread(node.operator.delete_queue, "deleted.claim.nightly")
        async with asyncio.timeout(PATIENCE):
            await claim.until_lost()
        assert not claim.held
