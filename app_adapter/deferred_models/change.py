"""The change of a record as an event carries it: written in a flush, and read from an event of a flush or a trigger."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from flask import Flask

from app_adapter.deferred_signals.codecs import Codecs
from app_adapter.listener_api import Event
from bridge.errors import shown
from bridge.handling import MAX_KEY


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a record or row. `identity` has its primary key by name. `changed` has for each column the values
    `old` and `new`, as far as they are known."""

    identity: dict[str, Any]
    changed: dict[str, dict[str, Any]]


def written(change: Change, codecs: Codecs, app: Flask, event_name: str) -> bytes:
    """Return the payload. Raise `InvalidPayload`, which names the column, for a value that no codec takes."""
    payload = {
        "identity": {
            key: codecs.encoded(value, app, f"{event_name}: the identity {key}")
            for key, value in change.identity.items()
        },
        "changed": {
            key: {
                word: codecs.encoded(value, app, f"{event_name}: the {word} value of {key}")
                for word, value in values.items()
            }
            for key, values in change.changed.items()
        },
    }
    return json.dumps(payload, separators=(",", ":")).encode()


def read(event: Event, codecs: Codecs, app: Flask) -> Change:
    """Return the change of an event. Raise `ValueError` for another event, and what `Codecs.decoded` raises."""
    payload = json.loads(event.data)
    match payload:
        case {"identity": dict() as identity, "changed": dict() as changed}:
            return Change(
                _decoded(identity, codecs, app),
                {key: _decoded(values, codecs, app) for key, values in changed.items()},
            )
    raise ValueError(f"the payload of {event.name!r} is {shown(payload)}: expected an identity and changed values")


def _decoded(values: Mapping[str, Any], codecs: Codecs, app: Flask) -> dict[str, Any]:
    return {key: codecs.decoded(value, app) for key, value in values.items()}


def key_of(word: str, identity: Mapping[str, Any]) -> str:
    """Return the key of a record's events. Events of one key are published in order."""
    key = " ".join([word, *map(str, identity.values())])
    return key if len(key) <= MAX_KEY and key.isprintable() else f"{word} {uuid5(NAMESPACE_OID, key)}"
