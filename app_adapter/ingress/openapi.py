"""The OpenAPI document of the ingress, for programs that make clients."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from app_adapter.ingress.asked import AT, DELAY, EXPIRES, KEY, ON_DUPLICATE, PRIORITY, WITHIN
from app_adapter.ingress.cloudevents import BATCH, REQUIRED, STRUCTURED
from app_adapter.ingress.reading import LAST, MOST
from bridge.handling import Priority
from bridge.topics import MAX_NAME_BYTES, NAME_GRAMMAR

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
ANY_BODY: Schema = {"*/*": {}}

_TIME = "seconds, or a time such as 90s, 5m, 2h"
_MOMENT = "RFC 3339, with an offset"
_HEADERS: Sequence[tuple[str, Schema, str]] = (
    (DELAY, TEXT, f"Run it after this time: {_TIME}."),
    (AT, {"type": "string", "format": "date-time"}, f"Run it at this time: {_MOMENT}."),
    (PRIORITY, {"type": "string", "enum": [str(each) for each in Priority]}, "How urgent it is."),
    (EXPIRES, TEXT, f"Do not begin it after this time: {_TIME}, or {_MOMENT}."),
    (KEY, TEXT, "Your own name for the event: a repeat within the time below has the id of the first."),
    (WITHIN, TEXT, f"For how long the event holds its key: {_TIME}."),
    (ON_DUPLICATE, {"type": "string", "enum": ["return", "raise"]}, "The answer to a repeat: its id, or 409."),
    ("Prefer", TEXT, "wait=SECONDS: wait for the answer of a listener."),
)
_PROBLEMS: Mapping[int, str] = {
    400: "The request is not what its headers say.",
    401: "No known token, and no signature of a known sender.",
    403: "The token has no right to this.",
    404: "No queue takes the event.",
    409: "Another event holds the key; `id` is its id.",
    413: "Too many bytes or events.",
    415: "A format of CloudEvents that is not known.",
    422: "A value cannot be used.",
    429: "More events than the rate of the token.",
    502: "The broker refuses, or the listener failed.",
    503: "The broker is away, or a queue is full.",
    504: "The broker did not confirm in time; the event may run.",
}
_TRY_AGAIN = (429, 503, 504)


def document(url: str) -> dict[str, Any]:
    """Return the document of the ingress at this URL."""
    name = _parameter(
        "name", "path", {**TEXT, "pattern": f"^{NAME_GRAMMAR}$", "maxLength": MAX_NAME_BYTES}, "Its name."
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "deferred-event-bridge: events over HTTP", "version": version("deferred-event-bridge")},
        "servers": [{"url": url}],
        "security": [{"token": []}],
        "paths": {
            "/events": {"post": _post("Defer CloudEvents", _cloudevents()), "get": _list()},
            "/events/{name}": {"post": {**_post("Defer an event", ANY_BODY), "parameters": [name, *_headers()]}},
            "/events/{event_id}": {"get": _show()},
            "/workers": {"get": _get("Show the workers of the site", "workers", {"type": "object"}, [])},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "CloudEvent": _object(dict.fromkeys(REQUIRED, TEXT)),
                "Deferred": _object({"id": TEXT}),
                "End": {**_object({"status": {"type": "integer"}}), "description": "An `id`, or a problem."},
                "Problem": _object({"title": TEXT, "status": {"type": "integer"}, "detail": TEXT}),
                "Attempt": _object(dict.fromkeys(("time", "id", "name", "queue", "end"), TEXT)),
            },
        },
    }


def _post(summary: str, content: Schema) -> dict[str, Any]:
    return {
        "summary": summary,
        "operationId": summary.lower().replace(" ", "_"),
        "security": [{"token": []}, {}],
        "parameters": _headers(),
        "requestBody": {"content": content},
        "responses": {
            "200": {"description": "The answer of a listener, with `Prefer: wait`.", "content": ANY_BODY},
            "202": _answer("Deferred: the broker has confirmed it.", {"oneOf": [_ref("Deferred"), _array("End")]}),
            "207": _answer("A part of a batch was deferred.", _array("End")),
            **_problems(*_PROBLEMS),
        },
    }


def _list() -> dict[str, Any]:
    last = {"type": "integer", "minimum": 1, "maximum": MOST, "default": LAST}
    conditions = (("name", "A pattern of names."), ("queue", "A queue."), ("key", "A key."), ("end", "An end."))
    parameters = [
        _parameter("last", "query", last, "The most attempts."),
        *(_parameter(name, "query", TEXT, text) for name, text in conditions),
    ]
    return _get("List the newest attempts", "events", _array("Attempt"), parameters)


def _show() -> dict[str, Any]:
    ends = {"type": "object", "additionalProperties": TEXT, "description": "The last end in each queue."}
    shown = _object({"id": TEXT, "name": TEXT, "queues": ends, "attempts": _array("Attempt")})
    return _get("Show an event", "event", shown, [_parameter("event_id", "path", TEXT, "Its id.")])


def _get(summary: str, name: str, schema: Schema, parameters: Sequence[Schema]) -> dict[str, Any]:
    return {
        "summary": summary,
        "operationId": name,
        "parameters": list(parameters),
        "responses": {"200": _answer(f"{summary}.", schema), **_problems(400, 401, 403, 404, 502, 503)},
    }


def _cloudevents() -> Schema:
    return {
        f"{STRUCTURED}+json": {"schema": _ref("CloudEvent")},
        f"{BATCH}+json": {"schema": _array("CloudEvent")},
        **ANY_BODY,
    }


def _headers() -> list[Schema]:
    return [_parameter(name, "header", schema, text) for name, schema, text in _HEADERS]


def _problems(*statuses: int) -> dict[str, Any]:
    retry = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return {
        str(status): {
            "description": _PROBLEMS[status],
            **({"headers": retry} if status in _TRY_AGAIN else {}),
            "content": {"application/problem+json": {"schema": _ref("Problem")}},
        }
        for status in statuses
    }


def _answer(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _parameter(name: str, place: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": place, "required": place == "path", "schema": schema, "description": description}


def _object(properties: Mapping[str, Schema]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _array(name: str) -> Schema:
    return {"type": "array", "items": _ref(name)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
