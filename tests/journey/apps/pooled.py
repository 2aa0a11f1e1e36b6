"""An app that boots as files next to it say, and whose events do things to their process.

It writes lines to `EFFECTS` as `behaving` does, and a line with the step `warm` for each warm-up. The optional files:
`release.txt` has the release, `broker.txt` the broker's URL; `broken` is the error of the import, `cold` the error of
the warm-up; `dying` lets each process exit soon after its warm-up; `greeting` is printed at the import, and `threaded`
starts a thread at the import. The environment variable `WEIGHT` is the number of MB of objects that the import makes.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from flask import Flask, current_app

from app_adapter import DeferredEvents, Event

HERE = Path(__file__).parent

if (HERE / "broken").exists():
    raise RuntimeError((HERE / "broken").read_text())

if (HERE / "greeting").exists():
    print((HERE / "greeting").read_text())
if (HERE / "threaded").exists():
    threading.Thread(target=time.sleep, args=(3600,), name="watcher", daemon=True).start()

ballast = [{"number": n, "text": f"row {n}"} for n in range(int(os.environ.get("WEIGHT", "0")) * 3000)]
kept: list[bytes] = []

app = Flask(__name__)
if (HERE / "release.txt").exists():
    app.config["BRIDGE_RELEASE"] = (HERE / "release.txt").read_text()
if (HERE / "broker.txt").exists():
    app.config["BRIDGE_BROKER_URL"] = (HERE / "broker.txt").read_text()
events = DeferredEvents(app)


def note(step: str, event: Event | None = None, began: bool = True) -> None:
    """Append a line, whole or not at all."""
    about = (event.id, event.name, event.attempt, event.queue) if event else ("", "", 0, "")
    fields = dict(zip(("id", "name", "attempt", "queue"), about, strict=True))
    line = {**fields, "pid": os.getpid(), "at": time.time(), "step": step, "began": began}
    with Path(os.environ["EFFECTS"]).open("a") as effects:
        effects.write(json.dumps(line) + "\n")


@events.on_warmup
def warm() -> None:
    """Note the warm-up, with the app context that a warm-up function has."""
    if (HERE / "cold").exists():
        raise LookupError(f"{current_app.name}: {(HERE / 'cold').read_text()}")
    note("warm")
    if (HERE / "dying").exists():
        threading.Timer(0.1, os._exit, [7]).start()


def stuck_in_here(seconds: str = "3600") -> None:
    time.sleep(float(seconds))


def wait_for(file: str) -> None:
    while not (HERE / file).exists():
        time.sleep(0.01)


def stuck_in_c() -> None:
    sum(range(10**15))  # one call in C, during which Python handles no signal


def deaf() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
    stuck_in_here()


def tidy() -> None:
    try:
        stuck_in_here()
    finally:
        note("tidied")


def threads() -> None:
    threading.Thread(target=stuck_in_here, name="second", daemon=True).start()
    time.sleep(3600)


def say(text: str) -> None:
    print(text)
    print("to stderr:", text, file=sys.stderr)


def shout(text: str) -> None:
    say(text)
    os.write(1, b"no end of line")
    raise RuntimeError("after it was said")


def say_and_die() -> None:
    say("my last words")
    os._exit(9)


def flood(lines: str) -> None:
    for number in range(int(lines)):
        print("line", number)
    raise RuntimeError("after the flood")


BEHAVIOURS: dict[str, Callable[..., None]] = {
    "ok": lambda: None,
    "sleep": stuck_in_here,
    "until": wait_for,
    "stuck": stuck_in_here,
    "stuck-in-c": stuck_in_c,
    "deaf": deaf,
    "tidy": tidy,
    "threads": threads,
    "say": say,
    "shout": shout,
    "say_and_die": say_and_die,
    "flood": flood,
    "exit": lambda status: os._exit(int(status)),
    "grow": lambda megabytes: kept.append(os.urandom(1024) * 1024 * int(megabytes)),
}


@events.on("do.#")
def do(event: Event) -> None:
    """Do the step that the event lists for this attempt."""
    steps = event.payload["do"]
    step = steps[min(event.attempt, len(steps)) - 1]
    note(step, event)
    name, *arguments = step.split(":")
    BEHAVIOURS[name](*arguments)
    note(step, event, began=False)
