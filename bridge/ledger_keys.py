"""The keys that prove who wrote a dead letter or a decision: HMAC-SHA256 with a secret that workers and `bridge-dlq`
share. Pure. On RabbitMQ a header alone proves nothing, because RabbitMQ passes on the headers of any publisher.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field

VERSION = "v1"


@dataclass(frozen=True, slots=True)
class LedgerKeys:
    """The key that signs, then earlier keys, which only verify. Without any key nothing is signed or verified."""

    keys: tuple[str, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        """Return True if there is a key."""
        return bool(self.keys)

    def signature(self, *parts: bytes) -> str:
        """Return the signature of these parts by the first key. There must be one."""
        return f"{VERSION},{_signature(self.keys[0], parts)}"

    def prove(self, signature: object, *parts: bytes) -> bool:
        """Return True if the signature is that of these parts by any of the keys."""
        claimed = str(signature).encode(errors="replace")
        expected = [f"{VERSION},{_signature(key, parts)}".encode() for key in self.keys]
        return any(hmac.compare_digest(each, claimed) for each in expected)

    def fingerprint(self) -> str:
        """Return a text that differs for other keys and from which no key can be found."""
        return _signature("\0".join(self.keys), (b"fingerprint",))[:16] if self.keys else "none"


def _signature(key: str, parts: tuple[bytes, ...]) -> str:
    """Return the HMAC of the parts, each with its length, so that no part can pass for two."""
    found = hmac.new(key.encode(), digestmod=hashlib.sha256)
    for part in parts:
        found.update(len(part).to_bytes(8))
        found.update(part)
    return base64.b64encode(found.digest()).decode()


NO_KEYS = LedgerKeys()
