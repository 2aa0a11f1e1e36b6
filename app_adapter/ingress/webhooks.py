"""Signatures of Standard Webhooks: the client whose secret signed a request.

The scheme is `v1` of https://www.standardwebhooks.com, HMAC-SHA256 with a shared secret. Signatures of other
versions, such as `v1a` with public keys, are left out.
"""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from werkzeug.datastructures import Headers

from app_adapter.ingress.access import Client
from app_adapter.ingress.problems import Problem, wrong
from bridge.config.ingress_settings import WEBHOOK_SECRET_PREFIX, IngressSettings, Right
from bridge.rates import Limit

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"

TOLERANCE = 5 * 60
"""Seconds by which the timestamp of a request may differ from the time here, as in the libraries of the standard."""

_VERSION = "v1,"


def is_signed(headers: Headers) -> bool:
    """Return whether a request has a signature of Standard Webhooks."""
    return SIGNATURE in headers


@dataclass(frozen=True, slots=True)
class Webhooks:
    """The senders of webhooks, each with the keys by which it may sign."""

    senders: Mapping[Client, tuple[bytes, ...]]

    def client(self, headers: Headers, body: bytes, now: float) -> Client:
        """Return the sender that signed this body `now` (seconds since 1970), or shortly before or after. Raise
        `Problem`."""
        for name in (ID, TIMESTAMP):
            if name not in headers:
                raise wrong(name, None, f"expected it beside {SIGNATURE}", HTTPStatus.UNAUTHORIZED)
        timestamp = headers[TIMESTAMP]
        if not (timestamp.isascii() and timestamp.isdigit() and abs(float(timestamp) - now) <= TOLERANCE):
            expected = f"expected seconds since 1970, at most {TOLERANCE} from now"
            raise wrong(TIMESTAMP, timestamp, expected, HTTPStatus.UNAUTHORIZED)
        signed = f"{headers[ID]}.{timestamp}.".encode("latin-1") + body
        signatures = [each.encode("latin-1") for each in headers[SIGNATURE].split() if each.startswith(_VERSION)]
        found = [client for client, keys in self.senders.items() if _is_signed_by(keys, signed, signatures)]
        if not found:
            expected = "expected a signature v1 by a secret that the settings name"
            raise Problem(HTTPStatus.UNAUTHORIZED, f"{SIGNATURE}: {expected}")
        return found[0]


def webhooks_of(ingress: IngressSettings) -> Webhooks:
    """Return the senders that the settings name."""
    return Webhooks(
        {
            Client(
                f"webhooks.{name}",
                each.events,
                frozenset({Right.DEFER}),
                None if each.rate is None else Limit(each.rate, each.burst),
            ): tuple(map(_key, each.secrets))
            for name, each in ingress.webhooks.items()
        }
    )


def _key(secret: str) -> bytes:
    return b64decode(secret.removeprefix(WEBHOOK_SECRET_PREFIX))


def _is_signed_by(keys: Iterable[bytes], signed: bytes, signatures: list[bytes]) -> bool:
    """Return whether one of the signatures is by one of the keys. Each comparison takes constant time."""
    expected = [_VERSION.encode() + b64encode(hmac.digest(key, signed, "sha256")) for key in keys]
    return any(hmac.compare_digest(one, each) for one in expected for each in signatures)
