"""A management API that does not answer properly: each case has a sentence, and none a stray exception."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from bridge.brokers.rabbitmq.connection.address import address
from bridge.brokers.rabbitmq.inspection import management_api as management
from bridge.brokers.rabbitmq.inspection.management_api import Management, NoAnswer

HOUR = b"Date: Tue, 01 Jan 2030 00:00:00 GMT\r\n"


@contextmanager
def answering(answer: bytes, *, for_ever: bool = False) -> Iterator[Management]:
    """Start a management API that answers with these bytes, once or again and again."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(answer)
            while for_ever and not over.wait(0.02):
                self.wfile.write(b" ")

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield Management.of(address("amqp://web:sesame@broker/"), f"http://127.0.0.1:{server.server_port}")
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def a_response(status: str, body: bytes) -> bytes:
    """Return a whole response."""
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status.encode(), HOUR, len(body), body)


async def test_an_answer() -> None:
    """An answer has the time of the management API's clock."""
    with answering(a_response("200 OK", b'[{"name": "q", "arguments": {}}]')) as asked:
        answer = await asked.all("queues", "name", "arguments")

    assert (answer.content[0]["name"], answer.at) == ("q", datetime(2030, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("answer", "said", "refused"),
    [
        (a_response("401 Unauthorized", b"{}"), "answers 401 to user 'web'", True),
        (a_response("404 Not Found", b"{}"), "answers 404 to /api/queues/%2F", False),
        (a_response("200 OK", b"<h1>Welcome</h1>"), "is no management of RabbitMQ", False),
        (a_response("200 OK", b'{"name": "q"}'), "is no management of RabbitMQ: it lists no queues", False),
        (a_response("200 OK", b'["q"]'), "is no management of RabbitMQ: it lists no queues", False),
        (a_response("200 OK", b"\xff\xfe"), "is no management of RabbitMQ", False),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "cannot be reached", False),
        (b"", "cannot be reached", False),
    ],
)
async def test_no_answer(answer: bytes, said: str, refused: bool) -> None:
    """An unusable answer raises an error that says why, without the password."""
    with answering(answer) as asked, pytest.raises(NoAnswer) as raised:
        await asked.all("queues")

    assert said in str(raised.value)
    assert raised.value.refused is refused
    assert "sesame" not in str(raised.value)


async def test_an_answer_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that arrives byte by byte is given up in time."""
    monkeypatch.setattr(management, "ANSWER_WITHIN", 0.2)
    with (
        answering(b"HTTP/1.1 200 OK\r\n\r\n[", for_ever=True) as asked,
        pytest.raises(NoAnswer, match=r"no whole answer within 0\.2 s"),
    ):
        await asked.all("queues")
