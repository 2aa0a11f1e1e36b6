"""The app of the ordeals. `POST /defer` defers one event; the listener notes each step in the history.

The payload's `do` lists the steps of the first, second, … attempt; the last step applies to all later attempts.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask, request

from app_adapter import DeferredEvents, Event, Reject, defer
from bridge.errors import DeferError, DeferUnconfirmed
from tests.faults.history import History

app = Flask(__name__)
app.logger.disabled = True  # the failures are intended, and the history has them
events = DeferredEvents(app)
PACE = 0.2
"""Seconds, so long that a worker has refilled its hand when it chooses the next event."""
history = History.of_environment()


def wait(argument: str) -> None:
    while not Path(argument).exists():
        time.sleep(0.01)


def pace(argument: str) -> None:
    """Take some time, until this file exists."""
    if not Path(argument).exists():
        time.sleep(PACE)


def fail(argument: str) -> None:
    if argument:
        wait(argument)
    raise ConnectionError("downstream is down")


def reject(argument: str) -> None:
    raise Reject("never")


STEPS: dict[str, Callable[[str], object]] = {
    "ok": lambda argument: None,
    "fail": fail,
    "reject": reject,
    "wait": wait,
    "pace": pace,
    "sleep": lambda argument: time.sleep(float(argument)),
    "die": lambda argument: os._exit(1),
    "kill": lambda argument: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda argument: os.kill(os.getpid(), signal.SIGSTOP),
}


@app.post("/defer")
def accept() -> Any:
    """Defer the requested event. Reply 202, or 503 with the error: `unknown` if the event may have been published."""
    requested = request.get_json()
    try:
        deferred = defer(f"judged.{requested['key']}", requested["payload"], delay=requested.get("delay"))
    except DeferUnconfirmed as error:
        return {"end": "unknown", "error": str(error)}, 503
    except DeferError as error:
        return {"end": "fail", "error": f"{type(error).__name__}: {error}"}, 503
    return {"end": "ok", "id": deferred}, 202


@events.on("scheduled.#")
def run(event: Event) -> None:
    """Note the event of a schedule, whose time is its moment."""
    key, moment = event.name.removeprefix("scheduled."), event.time.isoformat()
    history.note("moment", key=key, id=event.id, moment=moment, pid=os.getpid())


@events.on("asked.#")
def answer(event: Event) -> str:
    """Do the step that the call asks for, and answer with its key."""
    key = event.name.removeprefix("asked.")
    known = {"key": key, "pid": os.getpid()}
    history.note("called", **known)
    step, _, argument = event.payload["do"].partition(":")
    try:
        STEPS[step](argument)
    finally:
        history.note("replied", **known)
    return key


@events.on("judged.#")
def listen(event: Event) -> None:
    """Do the step that the event lists for this attempt."""
    known = {
        "key": event.name.removeprefix("judged."),
        "id": event.id,
        "attempt": event.attempt,
        "pid": os.getpid(),
    }
    history.note("attempt", **known)
    steps = event.payload["do"] if isinstance(event.payload, dict) else ["ok"]
    step, _, argument = steps[min(event.attempt, len(steps)) - 1].partition(":")
    try:
        STEPS[step](argument)
    except Exception:  # any failure is noted before the app handles it
        history.note("failure", **known)
        raise
    history.note("effect", **known)
