"""A webhook's signature: HMAC-SHA256 of its body by the secret that both know, as `X-Hub-Signature-256` has it."""

import hmac

HEADER = "X-Hub-Signature-256"


def signature(secret: str, body: bytes) -> str:
    """Return what the sender writes into the header."""
    return "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()


def is_signed(secret: str, body: bytes, claimed: str | None) -> bool:
    """Tell whether the header was made of this body by one who knows the secret."""
    # As long for a wrong signature as for a right one: else it could be found byte by byte.
    return hmac.compare_digest(signature(secret, body).encode(), (claimed or "").encode())
