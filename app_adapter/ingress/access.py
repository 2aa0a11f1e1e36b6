"""Who may do what: the tokens of the settings as hashes, and the client that a request's token names."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from http import HTTPStatus

from app_adapter.ingress.problems import Problem
from bridge.config.ingress_settings import IngressSettings, Right
from bridge.config.settings import Settings
from bridge.errors import SettingsError
from bridge.rates import Limit
from bridge.topics import METHOD, RESERVED, SIGNAL, matches

HASH_PREFIX = "sha256:"

NAMED_ALONE = (RESERVED, SIGNAL, METHOD)
"""Beginnings of events that a pattern must name, because they are the app's own and the bridge's own: `#` and `*` do
not stand for their first word."""

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="events"'}


@dataclass(frozen=True, slots=True)
class Client:
    """The holder of a token. `events` are patterns of event names; `limit` is how many events it may send."""

    name: str
    events: tuple[str, ...]
    rights: frozenset[Right]
    limit: Limit | None = None

    def may(self, right: Right, event: str) -> bool:
        """Return whether the client has this right to the events of this name."""
        return right in self.rights and _any_stands_for(self.events, event)

    def check_right(self, right: Right) -> None:
        """Raise `Problem` unless the client has this right to some events."""
        if right not in self.rights:
            raise self._refused(f"expected a token with the right {right!s}")

    def check(self, right: Right, event: str) -> None:
        """Raise `Problem` unless the client has this right to the events of this name."""
        if not self.may(right, event):
            self.check_right(right)
            raise self._refused(
                f"expected one of its events: {', '.join(self.events)}; not {event!r:.210}{_why(event)}"
            )

    def _refused(self, expected: str) -> Problem:
        return Problem(HTTPStatus.FORBIDDEN, f"token {self.name!r}: {expected}")


@dataclass(frozen=True, slots=True)
class Access:
    """The clients of a site, by the hashes of their tokens."""

    clients: Mapping[bytes, Client]

    def client(self, authorization: str | None) -> Client:
        """Return the client that the header Authorization names. Raise `Problem`.

        The time that this takes tells nothing about the hashes: each of them is compared as a whole.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _unknown("expected the header Authorization: Bearer TOKEN")
        given = hash_of(token.strip()).encode()
        found = [client for known, client in self.clients.items() if compare_digest(known, given)]
        if not found:
            raise _unknown("expected a token that the settings name")
        return found[0]

    def named(self, name: str) -> Client:
        """Return the client with the token of this name."""
        return next(client for client in self.clients.values() if client.name == name)


def access_of(settings: Settings) -> Access:
    """Return the access that the settings give. Raise `SettingsError` if they give none, or one token twice."""
    ingress = ingress_of(settings)
    clients: dict[bytes, Client] = {}
    for name, token in ingress.tokens.items():
        known = token.hash.encode()
        if known in clients:
            raise SettingsError(
                f"ingress.tokens.{name}.hash (from {settings.origin('ingress')}): expected a token of its own; "
                f"ingress.tokens.{clients[known].name} has the same one"
            )
        limit = None if token.rate is None else Limit(token.rate, token.burst)
        clients[known] = Client(name, token.events, frozenset(token.rights), limit)
    return Access(clients)


def ingress_of(settings: Settings) -> IngressSettings:
    """Return the table `[ingress]`. Raise `SettingsError` if nobody could send anything."""
    ingress = settings.values.ingress
    if ingress is None or not (ingress.tokens or ingress.webhooks):
        raise SettingsError(
            f"ingress.tokens (from {settings.origin('ingress')}): expected one token or more, because nobody may send "
            "events without one; `bridge-ingress token NAME` makes a token and prints its table [ingress.tokens.NAME]"
        )
    return ingress


def hash_of(token: str) -> str:
    """Return the hash of a token as the settings have it."""
    return HASH_PREFIX + sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


@lru_cache(maxsize=1024)
def _any_stands_for(patterns: tuple[str, ...], event: str) -> bool:
    """Return whether one of the patterns of a client stands for the events of this name."""
    beginning = _beginning(event)
    return any(pattern.startswith(beginning) and matches(pattern, event) for pattern in patterns)


def _beginning(event: str) -> str:
    """Return with what a pattern has to begin that stands for this event."""
    return next((each for each in NAMED_ALONE if event.startswith(each)), "")


def _why(event: str) -> str:
    beginning = _beginning(event)
    return f", which needs a pattern that begins with {beginning!r}" if beginning else ""


def _unknown(expected: str) -> Problem:
    return Problem(HTTPStatus.UNAUTHORIZED, expected, _CHALLENGE)
