"""The signatures of records that operators write to the site's logs. Pure. With a `ledger_key`, workers believe only
records that are signed.
"""

from bridge.envelope import to_json
from bridge.ledger_keys import LedgerKeys
from bridge.logs import Content

SIGNATURE = "signature"
"""The field of a record that has its signature, which covers all other fields."""


def signature_of(content: Content, kind: str, namespace: str, keys: LedgerKeys) -> str:
    """Return the signature of a record. There must be a key. `kind` names the log, so that no record can be moved to
    another one."""
    return keys.signature(*_signed_parts(content, kind, namespace))


def is_believed(content: Content, kind: str, namespace: str, keys: LedgerKeys) -> bool:
    """Return False if there is a key, and the record is not signed by it."""
    return not keys or keys.prove(content.get(SIGNATURE), *_signed_parts(content, kind, namespace))


def _signed_parts(content: Content, kind: str, namespace: str) -> tuple[bytes, ...]:
    text = to_json({key: content[key] for key in sorted(content) if key != SIGNATURE})
    return namespace.encode(), kind.encode(), text.encode(errors="replace")
