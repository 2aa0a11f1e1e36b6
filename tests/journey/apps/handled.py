"""An app whose listeners say how their events are handled.

`API` is the URL of an API that answers 429 to more than it can take.
"""

import os
import urllib.error
import urllib.request
from pathlib import Path

from flask import Flask

from app_adapter import DeferredEvents, Event, Halt, Snooze

app = Flask(__name__)
events = DeferredEvents(app)


def note(event: Event) -> None:
    """Append a line for this run."""
    with Path(os.environ["EFFECTS"]).open("a") as effects:
        effects.write(f"{event.id} {event.attempt}\n")


@events.on("api.#", priority=1)
def first(event: Event) -> None:
    """Finish at once."""
    note(event)


@events.on("api.#")
def call_api(event: Event) -> None:
    """Call the API, or snooze for as long as it asks."""
    try:
        urllib.request.urlopen(os.environ["API"] + "/" + event.id, data=b"")
    except urllib.error.HTTPError as error:
        if error.code != 429:
            raise
        raise Snooze(after=float(error.headers["Retry-After"]), why="the API answers 429") from error


@events.on("fails.twice", retry={"attempts": 2, "initial": "1s", "jitter": 0})
def fail(event: Event) -> None:
    """Fail. The listener has a retry policy of its own."""
    note(event)
    raise ConnectionError("downstream is down")


@events.on("ledger.#")
def book(event: Event) -> None:
    """Halt the queue until somebody has looked."""
    note(event)
    if not Path("looked").exists():
        raise Halt("the ledger does not add up")


@events.on("plain.#")
def succeed(event: Event) -> None:
    """Succeed."""
    note(event)
