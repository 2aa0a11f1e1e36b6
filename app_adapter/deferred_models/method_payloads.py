"""The payloads of deferred methods: the identity of the record, the arguments, and the answer to a call."""

import json
from dataclasses import dataclass
from typing import Any

from flask import Flask, current_app

from app_adapter.deferred_signals.codecs import Codecs
from app_adapter.listener_api import Event
from bridge.errors import shown

_FIELDS = {"identity", "positional", "arguments"}


@dataclass(frozen=True, slots=True)
class WrittenMethod:
    """A method as an event carries it. `identity` is None for a method of the model itself."""

    identity: tuple[Any, ...] | None
    positional: tuple[Any, ...]
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MethodPayloads:
    """Writes and reads the payloads of methods."""

    codecs: Codecs

    def write(self, method: WrittenMethod, app: Flask, what: str) -> bytes:
        """Return the payload. `what` names the method in messages. Raise `InvalidPayload`."""
        encoded = self.codecs.encoded
        payload: dict[str, Any] = {}
        if method.identity is not None:
            payload["identity"] = [encoded(each, app, f"{what}: the identity") for each in method.identity]
        if method.positional:
            payload["positional"] = [
                encoded(each, app, f"{what}: the argument {at}") for at, each in enumerate(method.positional)
            ]
        payload["arguments"] = {
            name: encoded(each, app, f"{what}: the argument {name}") for name, each in method.arguments.items()
        }
        return json.dumps(payload, separators=(",", ":")).encode()

    def read(self, event: Event) -> WrittenMethod:
        """Return the method of an event. An identity of one column may be without a list, as people write it. Raise
        `ValueError` for another payload, and what codecs raise."""
        payload = json.loads(event.data)
        if not isinstance(payload, dict) or payload.keys() - _FIELDS:
            raise ValueError(f"the payload of {event.name!r} is {shown(payload)}: expected some of {sorted(_FIELDS)}")
        match payload.get("positional", []), payload.get("arguments", {}):
            case list() as positional, dict() as arguments:
                pass
            case wrong:
                raise ValueError(f"the arguments of {event.name!r} are {shown(wrong)}: expected a list, and an object")
        app = current_app._get_current_object()  # type: ignore[attr-defined]  # typed as the app itself
        identity = payload.get("identity")
        written = identity if isinstance(identity, list) else [identity]
        return WrittenMethod(
            None if identity is None else tuple(self.codecs.decoded(each, app) for each in written),
            tuple(self.codecs.decoded(each, app) for each in positional),
            {name: self.codecs.decoded(each, app) for name, each in arguments.items()},
        )

    def answer(self, result: Any) -> Any:
        """Return the answer to a call: what the method returned, in a form that JSON has. Raise `InvalidPayload`."""
        app = current_app._get_current_object()  # type: ignore[attr-defined]  # as above
        return {"result": self.codecs.encoded(result, app, "the result of the method")}

    def result(self, answer: Any, app: Flask) -> Any:
        """Return what the method returned, from its answer."""
        return self.codecs.decoded(answer["result"], app)
