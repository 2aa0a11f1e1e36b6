"""A client for RabbitMQ's management API, which is optional and reports facts that AMQP does not. Uses GET only."""

import asyncio
import base64
import http.client
import json
import time
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from yarl import URL

from bridge.brokers.contract.tls import Tls
from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.tls import tls_context
from bridge.errors import SettingsError

ANSWER_WITHIN = 3.0
LARGEST = 64 * 1024 * 1024
_CHUNK = 64 * 1024
_NEEDED: Mapping[str, Set[str]] = {
    "queues": {"name", "arguments"},
    "exchanges": {"name", "arguments"},
    "policies": {"name", "pattern", "definition"},
    "operator-policies": {"name", "pattern", "definition"},
    "bindings": {"source", "destination", "destination_type", "routing_key", "properties_key"},
}
_PORTS = {"amqp": ("http", 15672), "amqps": ("https", 15671)}


class NoAnswer(Exception):
    """The management API gave no usable answer. The message says why, without a password. `refused`: it answered, but
    not this user."""

    def __init__(self, why: str, *, refused: bool = False) -> None:
        super().__init__(why)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Answer:
    """The content of an answer, and the time of RabbitMQ's clock (None: not given)."""

    content: Any
    at: datetime | None


class Management:
    """The management API of one broker, used as one user."""

    def __init__(self, url: URL, vhost: str, tls: Tls) -> None:
        self._url = url
        self._tls = tls
        self._vhost = quote(vhost, safe="")

    @classmethod
    def of(cls, address: Address, url: str | None) -> "Management":
        """Return the management API at this URL (None: at the usual port of the broker's first host). If the URL names
        no user, the broker's user is used."""
        broker = address.urls[0]
        scheme, port = _PORTS[broker.scheme]
        found = URL(url) if url else URL.build(scheme=scheme, host=broker.host or "", port=port)
        if found.user is None:
            found = found.with_user(broker.user or "guest").with_password(broker.password or "guest")
        return cls(found, address.vhost, address.tls)

    def __str__(self) -> str:
        return str(self._url.with_user(None))

    @property
    def user(self) -> str:
        """The user's name."""
        return self._url.user or ""

    def url(self, kind: str, *names: str) -> str:
        """Return the URL of one object in the virtual host, without a password."""
        return "/".join([str(self).rstrip("/"), "api", kind, self._vhost, *(quote(name, safe="") for name in names)])

    async def all(self, kind: str, *columns: str) -> Answer:
        """Return all queues, exchanges, bindings or policies of the virtual host, in rows with these columns, or with
        all. Raise `NoAnswer`."""
        chosen = f"?columns={','.join(columns)}" if columns else ""
        answer = await asyncio.to_thread(self._get, f"/api/{kind}/{self._vhost}{chosen}")
        if not isinstance(answer.content, list) or not all(_has(row, _NEEDED[kind]) for row in answer.content):
            raise NoAnswer(f"the server at {self} is no management of RabbitMQ: it lists no {kind}")
        return answer

    def _get(self, path: str) -> Answer:
        try:
            status, at, body = self._exchange(path)
        except SettingsError as error:
            raise NoAnswer(str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(f"the management at {self} cannot be reached: {error or type(error).__name__}") from error
        if status in (401, 403):
            raise NoAnswer(f"the management at {self} answers {status} to user '{self.user}'", refused=True)
        if status != 200:
            raise NoAnswer(f"the management at {self} answers {status} to {path}")
        try:
            return Answer(json.loads(body), at)
        except ValueError as error:
            raise NoAnswer(f"the server at {self} is no management of RabbitMQ: {error}") from error

    def _exchange(self, path: str) -> tuple[int, datetime | None, bytes]:
        host, port = self._url.host or "", self._url.port
        if self._url.scheme == "https":
            context = tls_context(self._tls)
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=ANSWER_WITHIN, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=ANSWER_WITHIN)
        login = base64.b64encode(f"{self._url.user}:{self._url.password}".encode()).decode()
        until = time.monotonic() + ANSWER_WITHIN
        try:
            connection.request(
                "GET", self._url.raw_path.rstrip("/") + path, headers={"Authorization": f"Basic {login}"}
            )
            response = connection.getresponse()
            body = b""
            while chunk := response.read1(_CHUNK):
                body += chunk
                if time.monotonic() > until or len(body) > LARGEST:
                    raise TimeoutError(f"no whole answer within {ANSWER_WITHIN:g} s")
            return response.status, _time(response.getheader("Date")), body
        finally:
            connection.close()


def _has(row: object, needed: Set[str]) -> bool:
    return isinstance(row, dict) and needed <= row.keys()


def _time(header: str | None) -> datetime | None:
    try:
        at = parsedate_to_datetime(header or "")
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
