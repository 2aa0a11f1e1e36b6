"""The sender: signed webhooks, at an even pace, over real HTTP; and what the inbox answered to each."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

from examples.webhooks.signature import HEADER, signature

WEBHOOKS = 800
PER_SECOND = 100
THREADS = 8
ANSWER_SECONDS = 15.0

# Kind and action of every hundred webhooks: most can succeed, some never will. See `downstream`.
_RARE = {7: ("repository", "deleted"), 57: ("repository", "deleted"), 33: ("deployment", "created")}
_USUAL = (
    ("push", None),
    ("issues", "opened"),
    ("issues", "closed"),
    ("pull_request", "opened"),
    ("star", "created"),
)
_FORGED = 90
"""This one of every hundred has a signature made without the secret."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as it is sent."""

    kind: str
    body: bytes
    signed: str


@dataclass
class Answers:
    """What came back: the ids that 202 gave, and how many answers of each status (0: none came)."""

    deferred: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)


def webhooks(secret: str) -> Iterator[Webhook]:
    """Yield the webhooks to send."""
    for number in range(WEBHOOKS):
        place = number % 100
        kind, action = _RARE.get(place) or _USUAL[number % len(_USUAL)]
        content = {
            "number": number,
            "repository": {"full_name": f"octo/project-{number % 7}"},
            **({"action": action} if action else {}),
        }
        body = json.dumps(content, indent=1).encode()
        yield Webhook(kind, body, signature("a guess" if place == _FORGED else secret, body))


class Sender:
    """Sends from several threads, each over one connection kept open. `answers` grows while it runs."""

    def __init__(self, port: int, secret: str) -> None:
        self.answers = Answers()
        self._port = port
        self._began = time.monotonic()
        self._todo = enumerate(webhooks(secret))
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._send_all, daemon=True) for _ in range(THREADS)]

    def send_first(self) -> None:
        """Send the first webhook, and return with its answer."""
        with closing(self._connect()) as connection:
            self._send_next(connection)

    def start(self) -> None:
        """Begin to send the rest."""
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def is_done(self) -> bool:
        """Tell whether every webhook has its answer."""
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Send no more."""
        self._stopped.set()

    def _send_all(self) -> None:
        with closing(self._connect()) as connection:
            while self._send_next(connection):
                pass

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_SECONDS)

    def _send_next(self, connection: http.client.HTTPConnection) -> bool:
        """Send the next webhook, and tell whether there was one."""
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
        """Return the next webhook when its time has come; None when there is none, or the sender was stopped."""
        with self._lock:
            number, webhook = next(self._todo, (0, None))
        due = self._began + number / PER_SECOND
        return None if self._stopped.wait(max(due - time.monotonic(), 0)) else webhook


def _send(connection: http.client.HTTPConnection, webhook: Webhook) -> tuple[int, str | None]:
    headers = {"Content-Type": "application/json", "X-GitHub-Event": webhook.kind, HEADER: webhook.signed}
    try:
        connection.request("POST", "/hooks", webhook.body, headers)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException):
        connection.close()  # the next request opens it again
        return 0, None
    return response.status, json.loads(body)["event"] if response.status == 202 else None
