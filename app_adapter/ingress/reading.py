"""Shows clients with the right `read` the attempts of their events, and the workers of the site."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

from app_adapter.ingress.access import Client
from app_adapter.ingress.problems import Problem, of_error, wrong
from bridge.brokers.any_broker.history_reading import history_of, newest, of_event
from bridge.brokers.any_broker.roll_call import ask_site
from bridge.brokers.contract.broker import Broker
from bridge.config.ingress_settings import Right
from bridge.config.settings import Settings
from bridge.console.site_options import existing_broker
from bridge.errors import BridgeError
from bridge.history import Entry, Filter, to_json
from bridge.registry import to_document
from bridge.topics import check_pattern

LAST, MOST = 100, 1000
"""How many attempts are listed by default, and at most."""

ALL_EVENTS = "#"

_CONDITIONS = ("name", "queue", "key", "end")

R = TypeVar("R")


def event(settings: Settings, client: Client, event_id: str) -> Mapping[str, Any]:
    """Return the attempts of an event, and its last end in each of its queues. Raise `Problem` if the history has no
    attempt of such an event of the client."""
    found = _ask(settings, lambda broker: of_event(history_of(broker, settings), event_id))
    entries = [entry for entry in found if entry.id == event_id and client.may(Right.READ, entry.name)]
    if not entries:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            f"event {event_id!r:.100}: expected one that has begun; the history has no attempt of it",
        )
    return {
        "id": event_id,
        "name": entries[0].name,
        "queues": {entry.queue: entry.end for entry in entries},
        "attempts": [to_json(entry) for entry in entries],
    }


def events(settings: Settings, client: Client, query: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
    """Return the newest attempts of the client's events, the oldest of them first. Raise `Problem`."""
    for unknown in query.keys() - {"last", *_CONDITIONS}:
        raise wrong(unknown, query[unknown], f"expected one of last, {', '.join(_CONDITIONS)}")
    last = query.get("last", str(LAST))
    if not (last.isascii() and last.isdigit() and len(last) <= 9 and 1 <= int(last) <= MOST):
        raise wrong("last", last, f"expected a whole number from 1 to {MOST}")
    _check_name(query.get("name"))
    name, queue, key, end = map(query.get, _CONDITIONS)
    wanted = Filter(name=name, queue=queue, key=key, end=end)

    def is_seen(entry: Entry) -> bool:
        return client.may(Right.READ, entry.name)

    found = _ask(settings, lambda broker: newest(history_of(broker, settings), wanted, int(last), is_seen))
    return [to_json(entry) for entry in found]


def workers(settings: Settings, client: Client) -> Mapping[str, Any]:
    """Return the status of each worker of the site. Raise `Problem` for a client that may not see all events, because
    the status of a worker names those that run."""
    if ALL_EVENTS not in client.events:
        raise Problem(HTTPStatus.FORBIDDEN, f"token {client.name!r}: expected a token for all events, {ALL_EVENTS!r}")
    return to_document(_ask(settings, ask_site))


def _check_name(pattern: str | None) -> None:
    try:
        if pattern is not None:
            check_pattern(pattern)
    except ValueError as error:
        raise wrong("name", pattern, "expected " + str(error).partition("expected ")[2]) from error


def _ask(settings: Settings, question: Callable[[Broker], Awaitable[R]]) -> R:
    async def asked() -> R:
        async with existing_broker(settings) as broker:
            return await question(broker)

    try:
        return asyncio.run(asked())
    except BridgeError as error:
        raise of_error(error) from error
