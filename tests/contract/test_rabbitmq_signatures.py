"""The signatures of dead letters and decisions on RabbitMQ: who may only publish events can write neither."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pamqp.commands import Basic

from bridge.brokers.contract.broker import Broker
from bridge.brokers.opening import open_broker
from bridge.ledger import Dead, Entry, Redriven, Skipped, open_letters
from bridge.ledger_keys import NO_KEYS, LedgerKeys
from bridge.letter_text import encode_decision, encode_letter
from bridge.queues import Queue
from dead_letter.cli import main
from tests.contract.acts import a_letter, an_event, consuming, entries_of, eventually, now, take
from tests.contract.rabbitmq_site import RabbitSite
from tests.unit.bridge.examples import letter

pytestmark = pytest.mark.rabbitmq

OURS = LedgerKeys(("k" * 32,))
ROTATED = LedgerKeys(("n" * 32, "k" * 32))
OTHER = LedgerKeys(("o" * 32,))


class Ledger:
    """The ledger of one namespace, as programs with different keys see and write it."""

    def __init__(self, site: RabbitSite) -> None:
        self.site = site

    def broker(self, keys: LedgerKeys) -> Broker:
        """Open the broker as a program with these keys."""
        return open_broker(self.site.url, self.site.namespace, keys=keys)

    async def die(self, keys: LedgerKeys, name: str = "order.paid") -> Dead:
        """Let an event become a dead letter in a worker with these keys."""
        broker = self.broker(keys)
        await broker.declare([Queue("default")])
        await broker.publisher().publish(an_event(name))
        delivery = await take(await consuming(broker, "default", prefetch=1))
        await delivery.dead_letter(a_letter(delivery))
        await broker.close()
        dead = (await self.entries(keys))[-1]
        assert isinstance(dead, Dead)
        return dead

    async def discard(self, keys: LedgerKeys, number: int) -> None:
        """Discard a letter, as bridge-dlq with these keys does."""
        broker = self.broker(keys)
        async with broker.ledger().deciding() as decisions:
            await decisions.discard(number, "ada", "")
        await broker.close()

    async def entries(self, keys: LedgerKeys) -> list[Entry]:
        """Return all entries, as a program with these keys reads them."""
        broker = self.broker(keys)
        try:
            return await entries_of(broker)
        finally:
            await broker.close()

    async def open(self, keys: LedgerKeys) -> list[int]:
        """Return the numbers of the open letters."""
        return list(open_letters(await self.entries(keys)))

    async def forge(self, headers: dict[str, Any], routing_key: str = "decision") -> None:
        """Publish straight to the exchange of dead letters."""
        properties = Basic.Properties(headers=headers)
        await self.site.publish_raw(f"{self.site.namespace}.dlx", routing_key, b"", properties)


@pytest.fixture
def ledger(rabbit_site: RabbitSite) -> Ledger:
    """The ledger of a namespace of the test's own."""
    return Ledger(rabbit_site)


def a_decision(number: int) -> str:
    return encode_decision(Redriven(0, number, now(), "ann@host", "forged"))


@pytest.mark.parametrize("keys", [NO_KEYS, OURS])
async def test_what_expires_in_a_queue_is_no_decision(ledger: Ledger, keys: LedgerKeys) -> None:
    """RabbitMQ hands the headers of a publisher on when a message expires. The open letter stays open."""
    dead = await ledger.die(keys)
    for extra in ({}, {"x-death": [{"reason": "rejected"}]}, {"x-first-death-reason": "x"}):
        headers: dict[str, Any] = {"bridge-decision": a_decision(dead.number), "bridge-letter": encode_letter(letter())}
        properties = Basic.Properties(headers=headers | extra, expiration="1", message_id="m")
        await ledger.site.publish_raw(f"{ledger.site.namespace}.events", "order.forged", b"", properties)

    found = await eventually(lambda: ledger.entries(keys), lambda entries: len(entries) == 4)

    assert not any(isinstance(entry, Redriven) for entry in found)
    for entry in [entry for entry in found if isinstance(entry, Dead) and entry != dead]:
        assert entry.reason == "expired" or not entry.believed
    assert dead.number in open_letters(found)


async def test_with_a_key_only_signed_decisions_count(ledger: Ledger) -> None:
    """An unsigned decision, a wrong signature and one by another key are left out and named. A signed one counts, also
    when its key is the key of before."""
    dead = await ledger.die(OURS)
    await ledger.forge({"bridge-decision": a_decision(dead.number)})
    await ledger.forge({"bridge-decision": a_decision(dead.number), "bridge-signature": "v1,AAAA"})
    await ledger.forge({"bridge-decision": a_decision(dead.number), "bridge-signature": [1]})
    assert await ledger.open(OURS) == [dead.number]
    await ledger.forge({"bridge-decision": a_decision(dead.number), "bridge-signature": OTHER.signature(b"x")})

    found = await ledger.entries(OURS)

    assert list(open_letters(found)) == [dead.number]
    why = "a decision without a valid signature (ledger_key), which is not believed"
    assert [entry.why for entry in found if isinstance(entry, Skipped)] == [why] * 4
    await ledger.discard(OURS, dead.number)
    assert await ledger.open(OURS) == await ledger.open(ROTATED) == []
    assert await ledger.open(OTHER) == [dead.number]


async def test_letters_without_a_valid_signature_are_not_believed(ledger: Ledger) -> None:
    """They are listed as such. Signed letters, and messages without any letter, are as before."""
    signed, unsigned, other = [await ledger.die(keys) for keys in (OURS, NO_KEYS, OTHER)]
    await ledger.forge({}, "default")

    found = await ledger.entries(OURS)

    assert [entry.believed for entry in found if isinstance(entry, Dead)] == [True, False, False, True]
    assert [entry.number for entry in found][:3] == [signed.number, unsigned.number, other.number]
    assert [entry.believed for entry in await ledger.entries(NO_KEYS) if isinstance(entry, Dead)] == [True] * 4


def test_the_program_says_what_is_not_believed(ledger: Ledger, tmp_path: Path) -> None:
    """`list` and `show` say so. A redrive by a filter leaves the letter out; one by number redrives it."""
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "BRIDGE_LEDGER_KEY": OURS.keys[0]}
    options = ["--broker-url", ledger.site.url, "--namespace", ledger.site.namespace]

    def dlq(*words: str) -> Result:
        return CliRunner(env=environment).invoke(main, [*options, *words], catch_exceptions=False)

    asyncio.run(ledger.die(OURS, "order.signed"))
    unsigned = asyncio.run(ledger.die(NO_KEYS, "order.unsigned"))

    listed, shown = dlq("list").output + dlq("list", "--ids").output, dlq("show", str(unsigned.number)).output
    redriven = dlq("redrive", "--all", "--yes")
    by_number = dlq("redrive", str(unsigned.number), "--yes")

    assert "ValueError (not believed)" in listed
    assert "NOT BELIEVED: ValueError" in listed
    assert "missing or wrong: this letter is not believed" in shown
    assert (redriven.exit_code, by_number.exit_code) == (0, 0)
    assert "Redriven: 1 dead letter, " in redriven.output
    assert f"  {unsigned.number}: a letter without a valid signature" in redriven.output
    assert asyncio.run(ledger.open(OURS)) == []
