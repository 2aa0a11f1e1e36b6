"""An app that ordinary clients use, as well as the bridge."""

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

SAID = "one"


@app.route("/echo", methods=["GET", "POST", "PUT"])
def echo() -> ResponseReturnValue:
    """What came in."""
    shown = {key: value for key, value in request.environ.items() if isinstance(value, str)}
    return {"method": request.method, "path": request.path, "args": request.args, "environ": shown}


@app.get("/pid")
def pid() -> str:
    """Who answers, and in which version."""
    return f"{os.getpid()} {SAID}"


@app.get("/away")
def away() -> ResponseReturnValue:
    """Go elsewhere."""
    return redirect("/pid", 303)


@app.post("/upload")
def upload() -> ResponseReturnValue:
    """Read the body in pieces; the digest says that it is whole."""
    digest, length = hashlib.sha256(), 0
    while piece := request.stream.read(1 << 16):
        digest.update(piece)
        length += len(piece)
    return {"length": length, "sha256": digest.hexdigest()}


@app.get("/bytes/<int:size>")
def some_bytes(size: int) -> Response:
    """So many bytes in one piece."""
    return Response([b"x" * size], mimetype="application/octet-stream")


@app.get("/stream/<int:pieces>")
def stream(pieces: int) -> Response:
    """So many pieces of 1000 bytes, of an unknown length in all."""

    def generated() -> Iterator[bytes]:
        for number in range(pieces):
            yield b"%03d" % (number % 1000) + b"x" * 997

    return Response(generated(), mimetype="application/octet-stream")


@app.get("/slow/<float:seconds>")
def slow(seconds: float) -> str:
    """Take so long, and leave a trace at the beginning and at the end."""
    trace = Path(os.environ["EFFECTS"])
    with trace.open("a") as file:
        file.write("begun\n")
    time.sleep(seconds)
    with trace.open("a") as file:
        file.write("done\n")
    return "slow"


@events.on("account.created")
def welcome(event: Event) -> None:
    """Leave a trace of a replay."""
    with Path(os.environ["EFFECTS"]).open("a") as file:
        file.write(f"replayed {event.id}\n")
