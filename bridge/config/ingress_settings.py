"""The table `[ingress]` of `bridge.toml`: who may send events over HTTP, and within which limits."""

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from bridge.config.notation import (
    HIDDEN,
    Duration,
    Patterns,
    PlainName,
    PositiveCount,
    PositiveDuration,
    Size,
    member_of,
    plain_name,
    text,
)
from bridge.config.reading import Problem, Unreadable, mapping, sequence, table
from bridge.rate import Rate

WEBHOOK_SECRET_PREFIX = "whsec_"
"""The beginning of the secrets of Standard Webhooks."""

_HASH = re.compile(r"sha256:[0-9a-f]{64}")


class Right(StrEnum):
    """An act that a token permits for the events that its patterns match."""

    DEFER = "defer"
    CALL = "call"
    READ = "read"


def _hash(value: object) -> str:
    if not _HASH.fullmatch(text(value)):
        raise ValueError("expected 'sha256:' and 64 hexadecimal digits, as bridge-ingress token prints them")
    return text(value)


def _webhook_secret(value: object) -> str:
    """Read a secret of Standard Webhooks. No message may show it."""
    expected = f"expected '{WEBHOOK_SECRET_PREFIX}' and the base64 of 24 to 64 bytes"
    try:
        prefix, encoded = str(value)[: len(WEBHOOK_SECRET_PREFIX)], str(value)[len(WEBHOOK_SECRET_PREFIX) :]
        usable = prefix == WEBHOOK_SECRET_PREFIX and 24 <= len(b64decode(encoded, validate=True)) <= 64
    except ValueError:
        usable = False
    if not usable:
        raise Unreadable([Problem((), HIDDEN, expected)])
    return str(value)


def _webhook_secrets(value: object) -> tuple[str, ...]:
    secrets: tuple[str, ...] = sequence(_webhook_secret, "expected a list of secrets, the new one beside the old one")(
        value
    )
    if not secrets:
        raise ValueError("expected one secret or more")
    return secrets


_right = member_of(Right)
_rights = sequence(_right, "expected a list of rights, such as ['defer', 'read']")


@dataclass(frozen=True)
class TokenSettings:
    """The table `[ingress.tokens.<name>]`: the hash of a token, the patterns of its events, and its rights."""

    hash: Annotated[str, _hash] = field(repr=False)
    events: Patterns
    rights: Annotated[tuple[Right, ...], _rights] = (Right.DEFER,)
    rate: Annotated[Rate, Rate.parsed] | None = None
    """The most events that each process takes from this token."""
    burst: PositiveCount = 100


@dataclass(frozen=True)
class WebhookSettings:
    """The table `[ingress.webhooks.<name>]`: the secrets of a sender of Standard Webhooks, and its events."""

    secrets: Annotated[tuple[str, ...], _webhook_secrets] = field(repr=False)
    events: Patterns
    rate: Annotated[Rate, Rate.parsed] | None = None
    burst: PositiveCount = 100


@dataclass(frozen=True)
class IngressSettings:
    """The table `[ingress]`. See docs/ingress.md."""

    tokens: Annotated[Mapping[str, TokenSettings], mapping(plain_name, table(TokenSettings))] = field(
        default_factory=dict
    )
    webhooks: Annotated[Mapping[str, WebhookSettings], mapping(plain_name, table(WebhookSettings))] = field(
        default_factory=dict
    )
    max_request: Size = 4 * 1024**2
    """The most bytes of a request's body. Each event has at most `max_body`."""
    max_events: PositiveCount = 1000
    """The most events of a batch."""
    max_depth: PositiveCount = 64
    """The most arrays and objects of JSON within each other."""
    key_within: Duration = timedelta(days=1)
    """The time for which an `Idempotency-Key` is held if the request names none. 0: the key is only a name."""
    store: PlainName | None = None
    """The store of `[stores]` that holds keys if the broker is RabbitMQ; None: the only one, if there is one."""
    longest_wait: PositiveDuration = timedelta(seconds=30)
    """The longest wait for the answer of a call. A request that prefers a longer one waits for this time."""
    zmws: PlainName | None = None
    """The token whose rights all clients have that speak the dialect of zmws; None: the dialect is off."""

    def __post_init__(self) -> None:
        """Raise `Unreadable` for a dialect with a token that does not exist."""
        if self.zmws is not None and self.zmws not in self.tokens:
            raise Unreadable([Problem(("zmws",), self.zmws, "expected the name of a table [ingress.tokens.NAME]")])
