"""An app that redirects every request to a login page, replays too."""

from typing import Any

from flask import Flask, redirect

from app_adapter import DeferredEvents

app = Flask(__name__)
events = DeferredEvents(app)


@app.before_request
def wall() -> Any:
    """Redirect every request."""
    return redirect("/login")
