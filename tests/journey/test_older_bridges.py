"""Messages of Fervo's bundle and of mq2php, taken from their own queues, for a real PHP program that they name."""

import asyncio
import base64
import hashlib
import json
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiormq
import pytest
from aiormq.abc import AbstractChannel
from pamqp.commands import Basic

from tests.journey.php_fpm import Pools, pool_of
from tests.journey.site import APPS, Program, Site, eventually
from tests.limits import PATIENCE
from tests.lines import whole_lines

pytestmark = pytest.mark.rabbitmq

SCRIPT = str(APPS / "dispatch.php")
ONCE = "retry = {attempts = 1}\n"
SERIALIZED = b'O:8:"Deferred":1:{s:2:"id";i:17;}\x00\xff'


@pytest.fixture
def rabbit_site(rabbitmq_url: str, tmp_path: Path) -> Iterator[Site]:
    """A site on RabbitMQ."""
    site = Site(tmp_path, rabbitmq_url, f"o{uuid.uuid4().hex[:10]}")
    yield site
    site.remove()


@asynccontextmanager
async def older_bridge(site: Site) -> AsyncIterator[tuple[AbstractChannel, str]]:
    """A connection of the older bridge, and the name of its queue, which it declares with the queue of errors."""
    name = f"{site.namespace}_queue"
    async with aiormq.connect(site.broker_url) as connection:
        channel = await connection.channel()
        for queue in (name, f"{name}_errors"):
            await channel.queue_declare(queue, durable=True)
        try:
            yield channel, name
        finally:
            for queue in (name, f"{name}_errors"):
                await channel.queue_delete(queue)


def settings(fpm: Any, site: Site, queue: str, form: str, *targets: str, errors: bool = False) -> str:
    """The bridge.toml of a worker that takes the messages."""
    foreign = f"queue = '{queue}', format = '{form}', event = 'legacy.command', errors = {str(errors).lower()}"
    listed = ", ".join(f"'{target}'" for target in targets)
    return (
        ONCE
        + pool_of(site, fpm)
        + f"[queues.default]\n[queues.legacy]\nforeign = {{{foreign}, targets = [{listed}]}}\n"
    )


async def php(php_fpm: Pools, site: Site) -> Any:
    """A pool that parses forms, as it does by default."""
    fpm = php_fpm(site, **{"php_admin_value[enable_post_data_reading]": "on"})
    await fpm.start()
    return fpm


def seen(site: Site) -> list[dict[str, Any]]:
    """What the program has written down."""
    return [json.loads(line) for line in whole_lines(Path(site.environment["EFFECTS"]))]


async def saw(site: Site, count: int, worker: Program) -> list[dict[str, Any]]:
    """Wait until the program has run so often."""
    await eventually(lambda: len(seen(site)) >= count, report=lambda: worker.log)
    return seen(site)


async def taken_error(channel: AbstractChannel, queue: str) -> bytes:
    """Wait for a message in the queue of errors, and take it."""
    async with asyncio.timeout(PATIENCE):
        while True:
            got = await channel.basic_get(f"{queue}_errors", no_ack=True)
            if isinstance(got.delivery, Basic.GetOk):
                return bytes(got.body)
            await asyncio.sleep(0.05)


def of_fervo(body: bytes, script: str = SCRIPT) -> bytes:
    """A message as FervoDeferredEventBundle publishes it."""
    head = f"php_bin: /usr/bin/php\ndispatch_path: {script}\nfastcgi_host: localhost\nfastcgi_port: 9000\n\n"
    return head.encode() + base64.b64encode(body)


def of_mq2php(body: str, script: str = SCRIPT) -> bytes:
    """A message as mq2php's bundles publish it."""
    secret = hashlib.sha1(b"secret" + body.encode()).hexdigest()  # as Mq2phpBundle does
    headers = {"fastcgi_host": "localhost", "fastcgi_port": 9000, "dispatch_path": script, "hash": secret}
    listed = [{"key": key, "value": value} for key, value in headers.items()]
    return json.dumps({"headers": listed, "body": body}).encode()


async def test_a_message_of_fervo(rabbit_site: Site, php_fpm: Pools) -> None:
    """Its program reads the same base64 from the form and, if it is no longer than a record, from the parameter; the
    queue is empty then, and each message has run once."""
    site, fpm = rabbit_site, await php(php_fpm, rabbit_site)
    bodies = [SERIALIZED, b"\xfb\xef\xbe", bytes(range(256)) * 180, bytes(range(256)) * 400]
    async with older_bridge(site) as (channel, queue):
        site.configure(settings(fpm, site, queue, "fervo", SCRIPT))
        worker = site.run("bridge-worker")
        for body in bodies:
            await channel.basic_publish(of_fervo(body), routing_key=queue)

        found = await saw(site, len(bodies), worker)

        assert sorted(each["post"] for each in found) == sorted(base64.b64encode(body).decode() for body in bodies)
        short = [each for each in found if len(each["post"]) < 65_000]
        assert len(short) == 3
        assert all(each["server"] == each["post"] and each["method"] == "POST" for each in short)
        assert {each["script"] for each in found} == {SCRIPT}
        assert (await channel.queue_declare(queue, passive=True)).message_count == 0
    assert await site.letters() == []


async def test_a_message_of_mq2php(rabbit_site: Site, php_fpm: Pools) -> None:
    """Its program reads the message with the name of its queue, the body unchanged, so that its hash holds; a notice
    on the error output is no failure."""
    site, fpm = rabbit_site, await php(php_fpm, rabbit_site)
    body = json.dumps({"message_type": "Pay", "serialized_message": "a+b&c=%41 Grüße \u2028" + "x" * 100_000})
    async with older_bridge(site) as (channel, queue):
        site.configure(settings(fpm, site, queue, "mq2php", SCRIPT))
        worker = site.run("bridge-worker")
        for each in (body, "warn"):
            await channel.basic_publish(of_mq2php(each), routing_key=queue)

        found = [json.loads(each["post"]) for each in await saw(site, 2, worker)]

    (message,) = (each for each in found if each["body"] == body)
    headers = {each["key"]: each["value"] for each in message["headers"]}
    assert headers["queue_name"] == queue
    assert headers["fastcgi_port"] == 9000
    assert headers["hash"] == hashlib.sha1(b"secret" + message["body"].encode()).hexdigest()
    assert await site.letters() == []


async def test_failures_go_to_the_queue_of_errors(rabbit_site: Site, php_fpm: Pools) -> None:
    """In the form of mq2php, with a text for every header, and into the ledger as well."""
    site, fpm = rabbit_site, await php(php_fpm, rabbit_site)
    async with older_bridge(site) as (channel, queue):
        site.configure(settings(fpm, site, queue, "mq2php", SCRIPT, errors=True))
        site.run("bridge-worker")
        await channel.basic_publish(of_mq2php("fail"), routing_key=queue)

        message = json.loads(await taken_error(channel, queue))
        (letter,) = await site.letters_at_least(1)

    headers = {each["key"]: each["value"] for each in message["headers"]}
    assert (message["body"], headers["fastcgi_port"], headers["queue_name"]) == ("fail", "9000", queue)
    assert headers["error"] == letter.error.message
    assert headers["error"].startswith("the app answered 500")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", headers["error_date"])


async def test_the_form_of_fervos_errors(rabbit_site: Site, php_fpm: Pools) -> None:
    """The same text with one more line, which has no colon of its own."""
    site, fpm = rabbit_site, await php(php_fpm, rabbit_site)
    async with older_bridge(site) as (channel, queue):
        site.configure(settings(fpm, site, queue, "fervo", SCRIPT, errors=True))
        site.run("bridge-worker")
        await channel.basic_publish(of_fervo(b"fail"), routing_key=queue)

        head, _, body = (await taken_error(channel, queue)).decode().partition("\n\n")

    lines = head.split("\n")
    assert lines[:-1] == of_fervo(b"").decode().split("\n")[:4]
    assert lines[-1].startswith("error: the app answered 500= ")
    assert ":" not in lines[-1].removeprefix("error:")
    assert base64.b64decode(body) == b"fail"


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (of_mq2php("x", "/etc/passwd"), "'/etc/passwd' at 'localhost:9000', which is not among foreign.targets"),
        (of_mq2php("x", f"{APPS}/../apps/dispatch.php"), "which is not among foreign.targets"),
        (b"\xff not JSON", "expected"),
        (b'{"headers": [], "body": ""}', "no header dispatch_path"),
    ],
    ids=["another script", "by a detour", "no JSON", "no target"],
)
async def test_what_may_not_run_is_a_dead_letter(rabbit_site: Site, php_fpm: Pools, message: bytes, why: str) -> None:
    """A target that the settings do not have, and a message that cannot be read: nothing runs, and nothing is lost."""
    site, fpm = rabbit_site, await php(php_fpm, rabbit_site)
    async with older_bridge(site) as (channel, queue):
        site.configure(settings(fpm, site, queue, "mq2php", SCRIPT, errors=True))
        site.run("bridge-worker")
        await channel.basic_publish(message, routing_key=queue)

        await taken_error(channel, queue)
        (letter,) = await site.letters_at_least(1)

    assert letter.reason == "rejected"
    assert letter.envelope.event.data == message
    assert why in letter.error.message or "decode" in letter.error.message
    assert seen(site) == []


async def test_a_program_of_amqp_cgi_bridge(rabbit_site: Site, php_fpm: Pools) -> None:
    """It gets the body as it is, properties and headers as parameters, and its status decides."""
    site, fpm = rabbit_site, await php(php_fpm, rabbit_site)
    script = site.directory / "cgi.php"
    script.write_text(
        "<?php file_put_contents($_SERVER['EFFECTS'], json_encode(['server' => $_SERVER,"
        " 'body' => base64_encode(file_get_contents('php://input'))]) . \"\\n\", FILE_APPEND);"
        " http_response_code($_SERVER['AMQP_ANSWER']);"
    )
    async with older_bridge(site) as (channel, queue):
        foreign = f"queue = '{queue}', format = 'amqp-cgi-bridge', event = 'legacy.job'"
        site.configure(
            ONCE + pool_of(site, fpm, script_filename=str(script)) + f"[queues.legacy]\nforeign = {{{foreign}}}\n"
        )
        worker = site.run("bridge-worker")
        for answer in (204, 404):
            properties = Basic.Properties(message_id="m-1", content_type="image/png", headers={"answer": answer})
            await channel.basic_publish(SERIALIZED, routing_key=queue, properties=properties)

        found = await saw(site, 2, worker)
        (letter,) = await site.letters_at_least(1)

    assert {base64.b64decode(each["body"]) for each in found} == {SERIALIZED}
    server = found[0]["server"]
    assert (server["MESSAGE_ID"], server["ROUTING_KEY"], server["REDELIVERED"]) == ("m-1", queue, "false")
    assert (server["CONTENT_TYPE"], server["REQUEST_URI"]) == ("image/png", "/")
    assert letter.error.message.startswith("the app answered 404")


async def test_without_targets_it_is_an_event_like_others(rabbit_site: Site) -> None:
    """A Flask app's listener gets the message of an older bridge as it is, whoever runs the pool."""
    site = rabbit_site
    body = json.dumps({"headers": [], "body": "", "do": ["ok"]}).encode()
    async with older_bridge(site) as (channel, queue):
        foreign = f"queue = '{queue}', format = 'mq2php', event = 'do.legacy'"
        site.configure(f"{ONCE}[queues.default]\n[queues.legacy]\nforeign = {{{foreign}}}\n")
        worker = site.worker()
        await channel.basic_publish(body, routing_key=queue)

        await eventually(lambda: bool(site.effects(began=False)), report=lambda: worker.log)

    (effect,) = site.effects(began=True)
    assert (effect.name, effect.queue) == ("do.legacy", "legacy")


async def test_the_queue_may_come_later_and_go(rabbit_site: Site, php_fpm: Pools) -> None:
    """A worker that starts before the older bridge declares its queue takes its messages then, also after the queue
    was deleted; the other queues of the worker go on meanwhile."""
    site, fpm = rabbit_site, await php(php_fpm, rabbit_site)
    site.configure(settings(fpm, site, f"{site.namespace}_queue", "fervo", SCRIPT))
    worker = site.run("bridge-worker")
    await worker.says("ready for events")
    for count in (1, 2):
        async with older_bridge(site) as (channel, queue):
            await channel.basic_publish(of_fervo(quote(f"{count}").encode()), routing_key=queue)
            await saw(site, count, worker)
    assert await site.letters() == []


async def test_an_older_bridge_needs_rabbitmq(here: Site) -> None:
    """A worker on SQLite names the setting, and exits with 2."""
    here.configure("[queues.legacy]\nforeign = {queue = 'old', format = 'fervo', event = 'a.b'}\n")
    worker = here.worker()

    assert await worker.ended() == 2
    assert "queues.legacy.foreign.queue = 'old': expected a broker_url amqp://host/" in worker.log
