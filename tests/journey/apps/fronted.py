"""An app with views for ordinary clients, and a listener for replays."""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, redirect, request
from flask.typing import ResponseReturnValue

from app_adapter import DeferredEvents, Event

app = Flask(__name__)
events = DeferredEvents(app)

VERSION = "one"


@app.route("/echo", methods=["GET", "POST", "PUT"])
def echo() -> ResponseReturnValue:
    """Reply with the request."""
    shown = {key: value for key, value in request.environ.items() if isinstance(value, str)}
    return {"method": request.method, "path": request.path, "args": request.args, "environ": shown}


@app.get("/pid")
def pid() -> str:
    """Reply with the pid of the process and its version."""
    return f"{os.getpid()} {VERSION}"


@app.get("/away")
def away() -> ResponseReturnValue:
    """Redirect."""
    return redirect("/pid", 303)


@app.post("/upload")
def upload() -> ResponseReturnValue:
    """Read the body in pieces; reply with its length and digest."""
    digest, length = hashlib.sha256(), 0
    while piece := request.stream.read(1 << 16):
        digest.update(piece)
        length += len(piece)
    return {"length": length, "sha256": digest.hexdigest()}


@app.get("/bytes/<int:size>")
def some_bytes(size: int) -> Response:
    """Reply with `size` bytes in one piece."""
    return Response([b"x" * size], mimetype="application/octet-stream")


@app.get("/stream/<int:pieces>")
def stream(pieces: int) -> Response:
    """Stream this many pieces of 1000 bytes, without a Content-Length."""

    def generated() -> Iterator[bytes]:
        for number in range(pieces):
            yield b"%03d" % (number % 1000) + b"x" * 997

    return Response(generated(), mimetype="application/octet-stream")


@app.get("/steps/<name>")
def steps(name: str) -> Response:
    """Stream two pieces, the second one when a file of this name is there. Then raise if its content is `raise`."""

    def generated() -> Iterator[bytes]:
        yield b"x" * 1000
        while not Path(name).exists():
            time.sleep(0.01)
        yield b"y" * 1000
        if Path(name).read_text() == "raise":
            raise RuntimeError("broken off by the app")

    return Response(
        generated(),
        mimetype="application/octet-stream",
        headers={"X-Accel-Buffering": request.args.get("buffering", "no")},
    )


@app.get("/until/<name>")
def until(name: str) -> str:
    """Append a line to `EFFECTS`, and wait until a file of this name is there."""
    with Path(os.environ["EFFECTS"]).open("a") as file:
        file.write("begun\n")
    while not Path(name).exists():
        time.sleep(0.01)
    return "open"


@app.get("/slow/<float:seconds>")
def slow(seconds: float) -> str:
    """Sleep for `seconds`, and append a line to `EFFECTS` before and after."""
    trace = Path(os.environ["EFFECTS"])
    with trace.open("a") as file:
        file.write("begun\n")
    time.sleep(seconds)
    with trace.open("a") as file:
        file.write("done\n")
    return "slow"


@events.on("account.created")
def welcome(event: Event) -> None:
    """Append a line about the replay to `EFFECTS`."""
    with Path(os.environ["EFFECTS"]).open("a") as file:
        file.write(f"replayed {event.id}\n")
