"""bridge-pool with real web servers in front: ordinary HTTP over every kind of connection, and no forged replays."""

import hashlib
import http.client
import json
import re
import socket
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.config.foreign_pool import Address
from tests.journey.site import Program, site_on_sqlite
from tests.journey.web_servers import WebServer, cgi_fcgi, lighttpd, nginx
from tests.limits import PATIENCE
from tests.ports import free_port

MIB = 1024**2
SIZES = (0, 1, 65_528, 65_535, 65_536, MIB, 64 * MIB)
CHILDREN = 2
HANG = 60.0
"""Most seconds for a large body, also on a busy machine. Stock flup takes minutes."""


@dataclass(frozen=True)
class Front:
    """A pool, and a web server in front of it."""

    pool: Program
    server: WebServer
    address: Address
    directory: Path


@pytest.fixture(
    scope="module",
    params=[
        *("nginx unix", "nginx tcp", "nginx unix keep", "nginx tcp keep", "nginx unix unbuffered"),
        *("lighttpd unix", "lighttpd tcp"),
    ],
)
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A pool with each web server in front of it, over each kind of connection."""
    kind, family, *how = request.param.split()
    directory = tmp_path_factory.mktemp("fronted")
    site = site_on_sqlite(directory)
    address = (
        Address(path=f"{directory}/run/app.sock") if family == "unix" else Address(host="127.0.0.1", port=free_port())
    )
    pool = site.run("bridge-pool", "fronted:app", "--bind", str(address), "--children", str(CHILDREN))
    end = time.monotonic() + PATIENCE
    while "warm after" not in pool.log:
        assert pool.process.poll() is None and time.monotonic() < end, pool.log
        time.sleep(0.02)
    if kind == "nginx":
        buffering = "off" if "unbuffered" in how else "on"
        location = f"fastcgi_request_buffering {buffering};"
        server = nginx(directory / "nginx", address, site.environment, location, keep="keep" in how)
    else:
        server = lighttpd(directory / "lighttpd", address, site.environment)
    yield Front(pool, server, address, site.directory)
    server.stop()
    site.remove()


def test_a_get_reaches_the_app(front: Front) -> None:
    """The app gets the method, path and query of the client's request."""
    answer = front.server.ask("GET", "/echo?a=1&b=%C3%A9", Accept="text/plain")

    echoed = json.loads(answer.body)
    assert (echoed["method"], echoed["path"], echoed["args"]) == ("GET", "/echo", {"a": "1", "b": "é"})
    assert echoed["environ"]["HTTP_ACCEPT"] == "text/plain"


def test_a_head_has_only_the_headers(front: Front) -> None:
    """The reply to a HEAD is that of the GET without the body."""
    answer = front.server.ask("HEAD", "/bytes/5000")

    assert (answer.status, answer.headers["Content-Length"], answer.body) == (200, "5000", b"")


def test_a_redirect_reaches_the_client(front: Front) -> None:
    """The client gets the app's status and Location."""
    answer = front.server.ask("GET", "/away")

    assert (answer.status, answer.headers["Location"].removeprefix(f"http://127.0.0.1:{front.server.port}")) == (
        303,
        "/pid",
    )


@pytest.mark.parametrize("size", SIZES)
def test_an_upload_arrives_whole(front: Front, size: int) -> None:
    """The app receives a body of any size, byte for byte."""
    body = bytes(range(256)) * (size // 256) + b"z" * (size % 256)

    began = time.monotonic()
    answer = front.server.ask("POST", "/upload", body)

    assert json.loads(answer.body) == {"length": size, "sha256": hashlib.sha256(body).hexdigest()}
    assert time.monotonic() - began < HANG


@pytest.mark.parametrize("size", SIZES)
def test_a_response_arrives_whole(front: Front, size: int) -> None:
    """The client receives a response of any size, within `HANG` seconds."""
    began = time.monotonic()
    answer = front.server.ask("GET", f"/bytes/{size}")
    seconds = time.monotonic() - began

    if size == SIZES[-1]:
        print(f"{size // MIB} MiB from {front.address} through {front.server.name}: {seconds:.2f} s")
    assert (answer.status, len(answer.body), answer.body.count(b"x")) == (200, size, size)
    assert seconds < HANG


def test_a_reply_of_unknown_length_is_chunked(front: Front) -> None:
    """The pieces of a streaming view arrive in order, and the response ends."""
    answer = front.server.ask("GET", "/stream/300")

    pieces = [answer.body[at : at + 1000] for at in range(0, len(answer.body), 1000)]
    assert answer.headers.get("Transfer-Encoding") == "chunked"
    assert [piece[:3] for piece in pieces] == [b"%03d" % number for number in range(300)]


def open_gate(gate: Path, content: str) -> None:
    """Make the file that the app waits for, with its content at once."""
    made = gate.with_suffix(".made")
    made.write_text(content)
    made.rename(gate)


@pytest.mark.parametrize("buffering", ["yes", "no"])
def test_a_response_that_breaks_off_is_not_taken_for_a_whole_one(front: Front, buffering: str) -> None:
    """The web server ends the client's connection within the response, whether it buffers or not."""
    gate = front.directory / f"gate-broken-{buffering}"
    connection = front.server.connect()
    connection.request("GET", f"/steps/{gate.name}?buffering={buffering}")
    if front.server.name == "nginx":  # lighttpd takes a response for whole if it breaks before its head was sent
        open_gate(gate, "raise")

    with pytest.raises((http.client.HTTPException, ConnectionError)):
        response = connection.getresponse()
        open_gate(gate, "raise")
        response.read()


@pytest.mark.parametrize("content", ["end", "raise"])
def test_a_stream_arrives_as_it_is_made_and_only_a_whole_one_ends(front: Front, content: str) -> None:
    """The client has the first piece before the second one is made. If the app raises then, the client knows that the
    response is not whole, and the pool's log has the traceback in one piece."""
    gate = front.directory / f"gate-{content}"
    connection = front.server.connect()
    connection.request("GET", f"/steps/{gate.name}")
    response = connection.getresponse()
    assert response.read(1000) == b"x" * 1000
    open_gate(gate, content)

    if content == "end":
        assert response.read() == b"y" * 1000
        return
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()
    end = time.monotonic() + PATIENCE
    while "broken off by the app" not in front.pool.log:
        assert time.monotonic() < end, front.pool.log
        time.sleep(0.02)
    records = re.findall(r"^\d\d:\S+ ERROR .*(?:\n    .*)*broken off by the app.*$", front.pool.log, re.MULTILINE)
    assert records
    assert all("Traceback (most recent call last):" in record for record in records)


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_an_upload_of_unknown_length_arrives_whole(front: Front, size: int) -> None:
    """A chunked body has no Content-Length."""
    body = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    connection = front.server.connect()
    connection.request("POST", "/upload", iter((body[: size // 2], body[size // 2 :])), encode_chunked=True)

    answer = json.loads(connection.getresponse().read())

    assert answer == {"length": size, "sha256": hashlib.sha256(body).hexdigest()}


def test_small_requests_are_not_held_back(front: Front) -> None:
    """No request waits for a delayed TCP acknowledgement, which takes 40 ms."""
    connection = front.server.connect()
    seconds = []
    for _ in range(200):
        began = time.monotonic()
        connection.request("GET", "/pid")
        connection.getresponse().read()
        seconds.append(time.monotonic() - began)
    connection.close()

    print(f"{front.address}: {statistics.median(seconds) * 1000:.1f} ms for a request, one after the other")
    assert statistics.median(seconds) < 0.03


def test_more_clients_than_children_are_all_served(front: Front) -> None:
    """With 16 clients, and connections that the web server keeps, no request waits for an idle connection."""

    def visit(_: int) -> list[int]:
        connection = front.server.connect()
        try:
            statuses = []
            for _ in range(10):
                connection.request("GET", "/pid")
                response = connection.getresponse()
                response.read()
                statuses.append(response.status)
            return statuses
        finally:
            connection.close()

    began = time.monotonic()
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(visit, range(16)))

    assert answers == [[200] * 10] * 16
    assert time.monotonic() - began < HANG


FORGED = [
    name
    for words in ("BRIDGE REPLAY", "Bridge Replay", "bridge replay", "HTTP BRIDGE REPLAY")
    for name in (words.replace(" ", "_"), words.replace(" ", "-"))
]
CLAIMED = {
    "CE-Id": "1",
    "CE-Type": "account.created",
    "CE-Source": "s",
    "CE-Time": "2030-01-01T00:00:00Z",
    "CE-SpecVersion": "1.0",
}


@pytest.mark.parametrize("name", [None, *FORGED])
def test_nobody_can_forge_a_replay(front: Front, name: str | None) -> None:
    """A request with the replay path, CloudEvents headers, and any spelling of the replay parameter as a header gets
    404."""
    details = {"BRIDGE_ATTEMPT": "1", "Bridge-Queue": "default", "BRIDGE_FINISHED": "[]"}

    answer = front.server.ask(
        "POST", "/_bridge/account.created", b"{}", **CLAIMED, **details, **({name: "1"} if name else {})
    )

    assert answer.status == 404
    assert "Bridge-Outcome" not in answer.headers


def test_the_clients_proxy_header_is_no_variable(front: Front) -> None:
    """`Proxy:` does not become HTTP_PROXY; other headers reach the app."""
    echoed = json.loads(front.server.ask("GET", "/echo", Proxy="http://evil/", Via="me").body)["environ"]

    assert "HTTP_PROXY" not in echoed
    assert echoed["HTTP_VIA"] == "me"


BROKEN_OFF = {
    "in the body": b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 300_000,
    "before the reply": b"GET /slow/0.5 HTTP/1.1\r\nHost: a\r\n\r\n",
    "in the reply": b"GET /stream/90000 HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("where", BROKEN_OFF)
def test_a_client_that_goes_away_costs_nothing(front: Front, where: str) -> None:
    """After clients have closed their connections early, the same children serve the next request."""
    before = front.pool.children

    for _ in range(CHILDREN + 1):
        with socket.create_connection(("127.0.0.1", front.server.port)) as client:
            client.sendall(BROKEN_OFF[where])
            client.settimeout(0.2)
            with suppress(TimeoutError):
                client.recv(1000)

    assert front.server.ask("GET", "/pid").status == 200
    assert front.pool.children == before
    assert "another child takes its place" not in front.pool.log


def test_cgi_fcgi_is_served(front: Front) -> None:
    """libfcgi's own client receives a normal reply."""
    head, _, body = cgi_fcgi(front.address, "/echo", HTTP_PROXY="http://evil/").partition(b"\r\n\r\n")

    assert head.startswith(b"Status: 200 OK\r\n")
    assert "HTTP_PROXY" not in json.loads(body)["environ"]
