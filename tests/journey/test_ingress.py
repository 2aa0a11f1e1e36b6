"""Events over HTTP with the real programs: nginx, bridge-pool with the ingress, and a worker that runs the events."""

import asyncio
import http.client
import json
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, text

from app_adapter.ingress.access import hash_of
from bridge.config.foreign_pool import Address
from bridge.console.exit_codes import ExitCode
from tests.contract.acts import take_and_ack
from tests.journey.callers import CallingApp
from tests.journey.site import Program, Site, eventually, site_on_sqlite
from tests.journey.web_servers import Answer, WebServer, nginx

INGRESS = "deferred_event_bridge.ingress:create_app()"
TOKEN = {"Authorization": "Bearer t-all"}
SETTINGS = f"""
max_body = "4MiB"
[ingress]
max_request = "4MiB"
[ingress.tokens.all]
hash = "{hash_of("t-all")}"
events = ["#"]
rights = ["defer", "call", "read"]
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with a token."""
    site = site_on_sqlite(tmp_path)
    site.configure(SETTINGS)
    yield site
    site.remove()


@pytest.fixture
async def front(site: Site) -> AsyncIterator[WebServer]:
    """nginx, which passes each piece of a request to the ingress at once."""
    address = Address(path=f"{site.directory}/run/ingress.sock")
    pool = site.run("bridge-pool", INGRESS, "--bind", str(address), "--children", "1", "--spare", "0")
    await pool.says("warm after")
    server = nginx(site.directory / "nginx", address, site.environment, "fastcgi_request_buffering off;")
    yield server
    server.stop()


def document(answer: Answer) -> Any:
    """Return the JSON of an answer."""
    return json.loads(answer.body)


def workers(front: WebServer) -> list[dict[str, Any]]:
    """Return the workers that answer. One without CPU does not answer in time."""
    found: list[dict[str, Any]] = document(front.ask("GET", "/workers", None, **TOKEN))["workers"]
    return found


async def test_an_event_goes_from_nginx_to_its_listener(site: Site, front: WebServer) -> None:
    """202 with the id, an attempt by that id in the history, an answer of a call, and the worker that did it."""
    worker = site.worker(app="calling:app")
    sent = front.ask("POST", "/events/str.reverse", b'{"str": "abc"}', **TOKEN, **{"Content-Type": "application/json"})
    assert sent.status == 202, sent.body
    [path] = [value for name, value in sent.headers.items() if name.lower() == "location"]

    await eventually(lambda: front.ask("GET", path, None, **TOKEN).status == 200, report=lambda: worker.log)
    assert document(front.ask("GET", path, None, **TOKEN))["queues"] == {"default": "delivered"}

    answered = front.ask(
        "POST", "/events/str.reverse", b'{"str": "abc"}', Prefer="wait=20", **TOKEN, **{"Content-Type": "a/b+json"}
    )
    assert (answered.status, document(answered)) == (200, "cba")
    await eventually(lambda: [each["app"] for each in workers(front)] == ["calling:app"], report=lambda: worker.log)


async def test_a_listener_that_has_run_in_a_call_does_not_run_once_more(site: Site, front: WebServer) -> None:
    """If the worker is lost, the event is deferred with the id of the call, by which its marks are found."""
    shop = f"sqlite:///{site.directory}/shop.db"
    first = site.worker(app="paying:app", SHOP=shop)
    await CallingApp(site).until_served()
    asking = asyncio.create_task(
        asyncio.to_thread(front.ask, "POST", "/events/order.paid", b"17", Prefer="wait=30", **TOKEN)
    )
    await eventually((site.directory / "taken").exists, report=lambda: first.log)
    first.signal(signal.SIGKILL)
    answer = await asking
    assert answer.status == 202, answer.body
    (site.directory / "go").touch()
    second = site.worker(app="paying:app", SHOP=shop)

    path = f"/events/{document(answer)['id']}"
    await eventually(lambda: front.ask("GET", path, None, **TOKEN).status == 200, report=lambda: second.log)

    assert document(front.ask("GET", path, None, **TOKEN))["queues"] == {"default": "delivered"}
    with create_engine(shop, poolclass=NullPool).connect() as connection:
        assert connection.execute(text("SELECT event FROM payment")).scalars().all() == [document(answer)["id"]]


async def test_an_upload_is_streamed_and_bounded(site: Site, front: WebServer) -> None:
    """Chunks without a length: 4 MiB are an event, and one byte more is none."""
    for size, status in ((4 * 1024**2, 202), (4 * 1024**2 + 1, 413)):
        connection = front.connect()
        pieces = [b"x" * 65_536] * (size // 65_536) + [b"x" * (size % 65_536)] * bool(size % 65_536)
        connection.request("POST", "/events/file.sent", iter(pieces), TOKEN, encode_chunked=True)
        answer: http.client.HTTPResponse = connection.getresponse()
        assert answer.status == status, answer.read()
        connection.close()
    assert (await site.backlog())["default"].ready == 1


@pytest.mark.long
async def test_the_sdk_of_cloudevents_for_javascript(site: Site, front: WebServer) -> None:
    """It sends events in each mode, and in batches."""
    script = Path(__file__).with_name("cloudevents_sdk") / "send.js"
    if not (script.parent / "node_modules").exists():
        pytest.skip("npm has not installed the SDK: scripts/install-cloudevents-sdk.sh")
    sdk = Program(["node", str(script), f"http://127.0.0.1:{front.port}/events", "t-all"], site.directory, {})
    assert await sdk.ended() == 0, sdk.log
    answers = {line["name"]: line for line in map(json.loads, sdk.log.splitlines())}
    wrong = answers.pop("batch with a wrong one")
    assert {line["status"] for line in answers.values()} == {202}, answers
    assert [each["status"] for each in answers["batch"]["answer"]] == [202] * 3
    assert answers["empty batch"]["answer"] == []
    assert (wrong["status"], [each["status"] for each in wrong["answer"]]) == (422, [424, 422])

    async with site.broker() as broker:
        consumer = broker.consumer()
        await consumer.start({"default": 20})
        taken = [delivery.envelope.event for delivery in await take_and_ack(consumer, 10)]
    found = {event.handling.key: (event.content_type, event.data) for event in taken}
    document = {"name": "Zoë ☕", "price": 9.5, "list": [1, None]}
    assert [json.loads(found[key][1]) for key in ("1", "2", "7")] == [document] * 3
    assert found["3"] == found["4"] == ("application/pdf", b"\x00\xff\n")
    assert found["5"] == ("text/plain; charset=utf-8", "grüße".encode())
    assert [found[key][1] for key in ("6", "8", "9", "10")] == [b"null", b"8", b"9", b"10"]
    assert {event.source for event in taken} == {"https://shop.example/orders"}


async def test_without_tokens_the_pool_does_not_start(site: Site) -> None:
    """And the log says what to do."""
    site.configure("")
    pool = site.run("bridge-pool", INGRESS, "--bind", f"unix:{site.directory}/run/ingress.sock", "--children", "1")
    assert await pool.ended() == ExitCode.APP
    assert "bridge-ingress token NAME" in pool.log
