"""A web application as its users meet it: the app that behaves as events ask, with a page that defers them."""

import time
from typing import Any

from behaving import app  # type: ignore[import-not-found]  # it lies beside this file in a site
from flask import request

from app_adapter import DeferError, defer


@app.post("/defer/<name>")  # type: ignore[untyped-decorator]  # the app comes from a file that mypy does not find
def deferring(name: str) -> Any:
    """Defer an event with the body as its payload, and tell what came of it."""
    began = time.monotonic()
    try:
        answer = {"id": defer(name, request.get_json())}
    except DeferError as error:
        answer = {"id": getattr(error, "event_id", ""), "error": type(error).__name__, "says": str(error)}
    return answer | {"seconds": time.monotonic() - began}
