"""A web application: the app `behaving`, with a page that defers events."""

import time
from typing import Any

from behaving import app  # type: ignore[import-not-found]  # it is next to this file in a site
from flask import request

from app_adapter import DeferError, defer


@app.post("/defer/<name>")  # type: ignore[untyped-decorator]  # the app comes from a file that mypy does not find
def deferring(name: str) -> Any:
    """Defer an event with the body as its payload; reply with its id, or with the error."""
    began = time.monotonic()
    try:
        answer = {"id": defer(name, request.get_json())}
    except DeferError as error:
        answer = {"id": getattr(error, "event_id", ""), "error": type(error).__name__, "says": str(error)}
    return answer | {"seconds": time.monotonic() - began}
