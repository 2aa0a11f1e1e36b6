"""An app whose processes do not end when they should, or end when they should not, as `DYING` says."""

import os
import threading
import time

from flask import Flask

from app_adapter import DeferredEvents, Event

app = Flask(__name__)
events = DeferredEvents(app)


@events.on_warmup
def begin() -> None:
    """Start a thread that never ends, or one that ends this process."""
    threading.Thread(target=linger if os.environ["DYING"] == "lingers" else leave).start()


def linger() -> None:
    """Never return."""
    while True:
        time.sleep(60)


def leave() -> None:
    """End the process soon after it was ready."""
    time.sleep(0.3)
    os._exit(9)


@app.get("/pid")
def pid() -> str:
    """Reply with the pid of the process, and its version."""
    return f"{os.getpid()} one"


@events.on("do.this")
def do_this(_event: Event) -> None:
    """Do nothing."""
