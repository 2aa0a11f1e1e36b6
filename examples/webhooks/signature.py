"""Signatures of webhooks by Standard Webhooks (https://www.standardwebhooks.com), version v1.

A webhook has an id, a time and one or more signatures, each the HMAC-SHA256 of id, time and body. A secret is `whsec_`
and the base64 of its key; another text is used as the key itself. A webhook whose time is more than `TOLERANCE` seconds
off is refused, so that nobody can send a recorded one later. Its id is the same in every repetition by the sender.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE = 300

_PREFIX = "whsec_"
_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)


class NotSigned(Exception):
    """The headers do not prove that the sender made the webhook just now. The message says what was expected."""


def signed_headers(secret: str, webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a sender for this body. `timestamp` is in seconds since 1970."""
    return {
        ID: webhook_id,
        TIMESTAMP: str(timestamp),
        SIGNATURE: f"v1,{_signature(secret, webhook_id, str(timestamp), body)}",
    }


def verified_id(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> str:
    """Return the id of a webhook that was signed with the secret. The names of `headers` are in lower case; `now` is in
    seconds since 1970. Raise `NotSigned`."""
    webhook_id, timestamp = headers.get(ID, ""), headers.get(TIMESTAMP, "")
    if not _PLAIN_ID.fullmatch(webhook_id):
        raise NotSigned(f"{ID}: expected 1 to 100 of A-Z a-z 0-9 . _ -")
    if not _SECONDS.fullmatch(timestamp) or abs(int(timestamp) - now) > TOLERANCE:
        raise NotSigned(f"{TIMESTAMP}: expected the present time in seconds since 1970, at most {TOLERANCE} s off")
    expected = f"v1,{_signature(secret, webhook_id, timestamp, body)}".encode()
    # In constant time, because otherwise the signature could be found byte by byte.
    claimed = headers.get(SIGNATURE, "").split(" ")
    if not any(hmac.compare_digest(expected, each.encode()) for each in claimed):
        raise NotSigned(f"{SIGNATURE}: expected v1 and the HMAC of the id, the timestamp and the body")
    return webhook_id


def _signature(secret: str, webhook_id: str, timestamp: str, body: bytes) -> str:
    content = b".".join((webhook_id.encode(), timestamp.encode(), body))
    return base64.b64encode(hmac.digest(_key(secret), content, "sha256")).decode()


def _key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"the secret: expected base64 after {_PREFIX}") from error
