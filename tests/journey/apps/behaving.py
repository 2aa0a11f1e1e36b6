"""An app that does what each event asks.

The payload's `do` lists the steps of the first, second, … attempt; the last step applies to all later attempts. Each
run of a listener appends lines to the file that the environment variable `EFFECTS` names.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from flask import Flask, abort, redirect, request

from app_adapter import DeferredEvents, Event, Halt, Reject, Retry

app = Flask(__name__)
events = DeferredEvents(app)


def note(event: Event, **more: Any) -> None:
    """Append a line, whole or not at all."""
    fields = {
        "id": event.id,
        "name": event.name,
        "attempt": event.attempt,
        "queue": event.queue,
        "pid": os.getpid(),
        "at": time.time(),
        **more,
    }
    with Path(os.environ["EFFECTS"]).open("a") as effects:
        effects.write(json.dumps(fields) + "\n")


def fail(event: Event, *_: str) -> None:
    request.environ["wsgi.errors"].write("about to fail\n")
    raise ConnectionError("downstream is down")


def sleep(event: Event, seconds: str) -> None:
    time.sleep(float(seconds))


def until(event: Event, file: str) -> None:
    while not Path(file).exists():
        time.sleep(0.01)


def retry(event: Event, after: str) -> None:
    raise Retry(after=float(after), why="not yet")


def halt_without(event: Event, file: str) -> None:
    if not Path(file).exists():
        raise Halt(f"there is no {file}")


def need(event: Event, file: str) -> None:
    if not Path(file).exists():
        raise ConnectionError(f"no connection for event {event.id}")


def reject(event: Event, *_: str) -> None:
    raise Reject("never")


def end_with(event: Event, status: str) -> None:
    os._exit(int(status))


def kill(event: Event, *_: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def write_to_stderr(event: Event, megabytes: str) -> None:
    for _ in range(int(megabytes)):
        sys.stderr.write("x" * 1_048_576)
        request.environ["wsgi.errors"].write("y" * 1_048_576)


def write_to_the_log(event: Event, text: str) -> None:
    app.logger.error(text)


def fail_in(event: Event, queue: str) -> None:
    if event.queue == queue:
        raise ConnectionError(f"{queue} is down")


BEHAVIOURS: dict[str, Callable[..., None]] = {
    "ok": lambda event: None,
    "fail": fail,
    "sleep": sleep,
    "until": until,
    "retry": retry,
    "need": need,
    "reject": reject,
    "halt-without": halt_without,
    "abort": lambda event, status: abort(int(status)),
    "exit": end_with,
    "sys.exit": lambda event: sys.exit("bye"),
    "kill": kill,
    "stderr": write_to_stderr,
    "fail-in": fail_in,
    "log": write_to_the_log,
}


@events.on("do.#")
def do(event: Event) -> None:
    """Do the step that the event lists for this attempt."""
    steps = event.payload["do"]
    step = steps[min(event.attempt, len(steps)) - 1]
    note(event, step=step, began=True)
    name, *arguments = step.split(":")
    BEHAVIOURS[name](event, *arguments)
    note(event, step=step, began=False)


@events.on("two.listeners", priority=10)
def first_listener(event: Event) -> None:
    """Always succeed."""
    note(event, step="first")


@events.on("two.listeners")
def second_listener(event: Event) -> None:
    """Succeed at the second attempt."""
    note(event, step="second")
    if event.attempt == 1:
        raise ValueError("not at once")


@app.before_request
def walls() -> Any:
    """Reply with a login redirect or a page instead of the receiver, for some events."""
    name = request.headers.get("Ce-Type", "")
    if name.startswith("wall."):
        return redirect("/login?next=" + request.path)
    if name.startswith("page."):
        return "<h1>Welcome to our shop</h1>"
    return None


@app.errorhandler(Exception)
def sorry(error: Exception) -> Any:
    """Reply 200 with an error page to every exception."""
    return "<h1>Sorry!</h1>", 200


class RawReplies:
    """A middleware around the whole app, with replies that our receiver never sends."""

    def __init__(self, inner: Callable[..., Iterable[bytes]]) -> None:
        self._inner = inner

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        name = environ.get("HTTP_CE_TYPE", "")
        if name == "raw.overloaded":
            attempt, seen = int(environ["BRIDGE_ATTEMPT"]), Path(os.environ["EFFECTS"] + ".overloaded")
            with seen.open("a") as lines:
                lines.write(f"{attempt} {time.time()}\n")
            if len(seen.read_text().splitlines()) < 3:
                start_response("503 Busy", [("Bridge-Outcome", "overloaded"), ("Retry-After", "1")])
                return [b"busy"]
            start_response("200 OK", [("Bridge-Outcome", "delivered")])
            return [b"at last"]
        if name == "raw.endless-headers":
            start_response("200 OK", [(f"X-{n}", "y" * 1000) for n in range(1000)])
            return [b""]
        if name == "raw.large":
            start_response("200 OK", [("Bridge-Outcome", "reject"), ("Content-Type", "text/plain")])
            return [b"z" * 1_048_576] * 64
        return self._inner(environ, start_response)


app.wsgi_app = RawReplies(app.wsgi_app)  # type: ignore[method-assign]  # as Flask's documentation has it
