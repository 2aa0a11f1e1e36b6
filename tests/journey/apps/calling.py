"""An app whose listeners answer calls. Each run of a listener appends a line to the file that `EFFECTS` names."""

import json
import os
import time
from pathlib import Path
from typing import Any

from flask import Flask

from app_adapter import DeferredEvents, Event, Reject

app = Flask(__name__)
events = DeferredEvents(app)


@events.on("#", observer=True, priority=9)
def count(event: Event) -> str:
    fields = {
        "id": event.id,
        "name": event.name,
        "attempt": event.attempt,
        "queue": event.queue,
        "pid": os.getpid(),
        "at": time.time(),
        "step": "ran",
    }
    with Path(os.environ["EFFECTS"]).open("a") as effects:
        effects.write(json.dumps(fields) + "\n")
    return "an observer never answers"


@events.on("str.reverse", priority=1)
def leave_it_to_others(event: Event) -> None:
    """Answer nothing."""


@events.on("str.reverse")
def reverse(event: Event) -> str:
    text: str = event.payload["str"]
    return text[::-1]


@events.on("str.#", priority=-1)
def too_late(event: Event) -> str:
    return "another listener has answered"


@events.on("letters.made")
def letters(event: Event) -> bytes:
    return b"x" * int(event.payload)


@events.on("nothing.answered")
def nothing(event: Event) -> None:
    """Answer nothing."""


@events.on("time.taken")
def sleep(event: Event) -> str:
    time.sleep(event.payload)
    return "slept"


@events.on("call.failed")
def fail(event: Event) -> None:
    raise ConnectionError("downstream is down")


@events.on("call.rejected")
def reject(event: Event) -> None:
    raise Reject("never")


@events.on("call.unwritten")
def unwritten(event: Event) -> object:
    return object()


@events.on("process.ended")
def end(event: Event) -> None:
    os._exit(3)


@events.on("call.nested")
def nested(event: Event) -> Any:
    return events.call("str.reverse", event.payload, timeout=120)
