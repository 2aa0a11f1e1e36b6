"""Answers to requests that cannot be served, as `application/problem+json` (RFC 9457)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from flask import Response
from werkzeug.exceptions import HTTPException

from bridge.errors import (
    BridgeError,
    BrokerRefused,
    BrokerUnavailable,
    CallError,
    CallFailed,
    CallRejected,
    DeferForbidden,
    DeferRejected,
    DeferUnconfirmed,
    DuplicateEvent,
    StoreUnavailable,
    TooLarge,
    Unroutable,
    shown,
)

RETRY_AFTER = 5
"""Seconds after which a client should try again if the broker did not take an event."""

_STATUS: tuple[tuple[type[BridgeError], HTTPStatus], ...] = (
    (TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (Unroutable, HTTPStatus.NOT_FOUND),
    (DuplicateEvent, HTTPStatus.CONFLICT),
    (BrokerRefused, HTTPStatus.BAD_GATEWAY),
    (DeferForbidden, HTTPStatus.BAD_GATEWAY),
    (CallRejected, HTTPStatus.UNPROCESSABLE_ENTITY),
    (CallError, HTTPStatus.BAD_GATEWAY),
    (BrokerUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (StoreUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (DeferRejected, HTTPStatus.SERVICE_UNAVAILABLE),
    (DeferUnconfirmed, HTTPStatus.GATEWAY_TIMEOUT),
)
_TRY_AGAIN = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)


@dataclass
class Problem(Exception):
    """The reason why a request, or one event of it, was not served. `members` are further fields of the document."""

    status: HTTPStatus
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the document of RFC 9457."""
        return {"title": self.status.phrase, "status": int(self.status), "detail": self.detail, **self.members}

    def response(self) -> Response:
        """Return the answer to a request that has this problem."""
        return Response(json.dumps(self.document()), self.status, self.headers, content_type="application/problem+json")


def wrong(key: str, value: object, expected: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> Problem:
    """Return the problem of a part of a request that cannot be used. `expected` begins with "expected"."""
    detail = f"{key}={shown(value)}: {expected}"
    return Problem(status, detail, members={"key": key, "value": shown(value), "expected": expected})


def of_error(error: BridgeError) -> Problem:
    """Return the problem that an error of `defer()` or `call()` is."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), HTTPStatus.UNPROCESSABLE_ENTITY)
    headers = {"Retry-After": str(RETRY_AFTER)} if status in _TRY_AGAIN else {}
    match error:
        case DuplicateEvent() | DeferUnconfirmed():
            return Problem(status, str(error), headers, {"id": error.event_id})
        case CallFailed():  # its traceback is for the site's own people, who find it in the log
            return Problem(status, f"{error.type}: {error.message}", headers, {"error": error.type})
    return Problem(status, str(error), headers)


def answer_to_problem(problem: Problem) -> Response:
    """Return the answer to a request that raised a problem; Flask's error handler."""
    return problem.response()


def answer_to_http_error(error: HTTPException) -> Response:
    """Return the answer to an error of Flask or Werkzeug, such as a URL that does not exist; Flask's error handler."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    return Problem(status, error.description or status.phrase, headers).response()
