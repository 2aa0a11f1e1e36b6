"""The sender of the demo: signed webhooks at a steady rate over HTTP, and the inbox's answers."""

import http.client
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

from examples.webhooks.signature import signed_headers

WEBHOOKS = 800
PER_SECOND = 100
THREADS = 8
ANSWER_SECONDS = 15.0

# Types in each hundred of webhooks: most can succeed, some never will (see `downstream`).
_RARE = {7: "repository.deleted", 57: "repository.deleted", 33: "deployment.created"}
_USUAL = (
    "push",
    "issues.opened",
    "issues.closed",
    "pull_request.opened",
    "star.created",
)
_FORGED = 90
"""The webhook of each hundred that is signed without the secret."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook, and the secret that it is signed with when it is sent."""

    id: str
    body: bytes
    secret: str


@dataclass
class Answers:
    """The inbox's answers: the ids of the deferred events, and the count of each status (0: no answer)."""

    deferred: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)


def webhooks(secret: str) -> Iterator[Webhook]:
    """Yield the webhooks to send."""
    for number in range(WEBHOOKS):
        place = number % 100
        content = {
            "type": _RARE.get(place) or _USUAL[number % len(_USUAL)],
            "number": number,
            "repository": {"full_name": f"octo/project-{number % 7}"},
        }
        body = json.dumps(content, indent=1).encode()
        yield Webhook(f"msg_{uuid.uuid4().hex}", body, "a guess" if place == _FORGED else secret)


class Sender:
    """Sends from several threads, each over one open connection. `answers` grows while the sender runs."""

    def __init__(self, port: int, secret: str) -> None:
        self.answers = Answers()
        self._port = port
        self._began = time.monotonic()
        self._todo = enumerate(webhooks(secret))
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._send_all, daemon=True) for _ in range(THREADS)]

    def send_first(self) -> None:
        """Send the first webhook, and wait for its answer."""
        with closing(self._connect()) as connection:
            self._send_next(connection)

    def start(self) -> None:
        """Start to send the other webhooks."""
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def is_done(self) -> bool:
        """Return True if every webhook has its answer."""
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Stop sending."""
        self._stopped.set()

    def _send_all(self) -> None:
        with closing(self._connect()) as connection:
            while self._send_next(connection):
                pass

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_SECONDS)

    def _send_next(self, connection: http.client.HTTPConnection) -> bool:
        """Send the next webhook; return False if there is none."""
        webhook = self._next()
        if webhook is None:
            return False
        status, event_id = _send(connection, webhook)
        with self._lock:
            self.answers.statuses[status] += 1
            if event_id is not None:
                self.answers.deferred.append(event_id)
        return True

    def _next(self) -> Webhook | None:
        """Return the next webhook at its time. Return None after the last webhook, or when the sender was stopped."""
        with self._lock:
            number, webhook = next(self._todo, (0, None))
        due = self._began + number / PER_SECOND
        return None if self._stopped.wait(max(due - time.monotonic(), 0)) else webhook


def _send(connection: http.client.HTTPConnection, webhook: Webhook) -> tuple[int, str | None]:
    signed = signed_headers(webhook.secret, webhook.id, int(time.time()), webhook.body)
    headers = {"Content-Type": "application/json", **signed}
    try:
        connection.request("POST", "/hooks", webhook.body, headers)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException):
        connection.close()  # the next request opens it again
        return 0, None
    return response.status, json.loads(body)["event"] if response.status == 202 else None
