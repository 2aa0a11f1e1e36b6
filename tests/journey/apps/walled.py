"""An app with a login wall in front of everything, replays included."""

from typing import Any

from flask import Flask, redirect

from app_adapter import DeferredEvents

app = Flask(__name__)
events = DeferredEvents(app)


@app.before_request
def wall() -> Any:
    """Let nobody in."""
    return redirect("/login")
