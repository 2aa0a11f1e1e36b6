"""An app under judgement: `POST /defer` defers one event, and the listener does what the event asks, noting each step
in the history. A payload's `do` lists what the first, second, … attempt does; the last goes for all that follow.
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
app.logger.disabled = True  # its failures are asked for, and stand in the history
events = DeferredEvents(app)
history = History.of_environment()


def wait(argument: str) -> None:
    while not Path(argument).exists():
        time.sleep(0.01)


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
    "sleep": lambda argument: time.sleep(float(argument)),
    "die": lambda argument: os._exit(1),
    "kill": lambda argument: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda argument: os.kill(os.getpid(), signal.SIGSTOP),
}


@app.post("/defer")
def accept() -> Any:
    """Defer what the request says: 202, else what `defer()` raised, `unknown` where it may have been published."""
    order = request.get_json()
    try:
        deferred = defer(f"judged.{order['key']}", order["payload"], delay=order.get("delay"))
    except DeferUnconfirmed as error:
        return {"end": "unknown", "error": str(error)}, 503
    except DeferError as error:
        return {"end": "fail", "error": f"{type(error).__name__}: {error}"}, 503
    return {"end": "ok", "id": deferred}, 202


@events.on("judged.#")
def listen(event: Event) -> None:
    """Do what the event asks of this attempt."""
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
    except Exception:  # whatever it is, it is noted before the app has it
        history.note("failure", **known)
        raise
    history.note("effect", **known)
