"""Our import and boot compared with bare Flask: the CPU time until an app's process can serve, with and without us.

`python boot.py FD CONTROL` is the bare child, a Flask app under stock flup. This file therefore imports none of our
modules at the top.
"""

import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.report import Table
    from benchmarks.scale import Scale

ROUNDS = 20
ROOT = Path(__file__).parents[2]

BARE = "import flask; app = flask.Flask('bare')"
OURS = f"{BARE}; from app_adapter import DeferredEvents; events = DeferredEvents(app)"
"""The least that a web process does, as an argument of `python -c`."""

CHILD = (
    "-m app_adapter.app_server --fd {fd} --control {control} --stacks {stacks} --news {news} --tokens {tokens} "
    "booted:app"
)
"""The arguments with which a worker starts a child of its pool."""

APP = "from flask import Flask\nfrom app_adapter import DeferredEvents\napp = Flask(__name__)\nDeferredEvents(app)\n"


def measure(directory: Path, scale: "Scale") -> "Table":
    """Measure both in alternation, and return the medians."""
    from benchmarks.report import Table

    (directory / "booted.py").write_text(APP)
    imported = _medians(directory, ("-c", OURS), ("-c", BARE))
    booted = _medians(
        directory,
        CHILD.split(),
        (__file__, "{fd}", "{control}"),
    )
    return Table(
        "Import and boot compared with bare Flask",
        f"CPU of one process, user and system, in ms; medians of {ROUNDS} rounds, in alternation. The import is that "
        "of an app with `DeferredEvents(app)`, compared with an app without it. The boot is that of a child of the "
        "pool with its warm-up, compared with a Flask app under stock flup. Both include the start and end of Python.",
        (
            ("what", "this project", "bare", "ratio", "goal"),
            _row("import and creation of the app", imported),
            _row("boot of a child", booted),
        ),
    )


def _row(what: str, medians: Sequence[float]) -> tuple[str, ...]:
    ours, bare = medians
    return (what, f"{ours * 1000:.0f}", f"{bare * 1000:.0f}", f"{ours / bare:.2f}", "≤ 1.50")


def _medians(directory: Path, *commands: Sequence[str]) -> Sequence[float]:
    seconds: list[list[float]] = [[] for _ in commands]
    for _ in range(ROUNDS):
        for command, taken in zip(commands, seconds, strict=True):
            taken.append(_cpu(command, directory))
    return [statistics.median(taken) for taken in seconds]


def _cpu(command: Sequence[str], directory: Path) -> float:
    """Return the CPU seconds of a process whose socket is closed, without a request, as soon as it is ready."""
    client, server = socket.socketpair()
    ready, control = os.pipe()
    stacks = os.open(os.devnull, os.O_WRONLY)
    worker, news = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    giving, tokens = socket.socketpair()
    kept = {"fd": server.fileno(), "control": control, "stacks": stacks, "news": news.fileno()}
    kept["tokens"] = tokens.fileno()
    arguments = [part.format(**kept) for part in command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-P", *arguments], pass_fds=tuple(kept.values()), cwd=directory, env=environment
    )
    server.close()
    news.close()
    tokens.close()
    os.close(control)
    os.close(stacks)
    with client, worker, giving, os.fdopen(ready) as channel:
        message = channel.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or '"failed"' in message:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}: {message}")
    return usage.ru_utime + usage.ru_stime


def _serve_bare(sock: socket.socket, control: int) -> None:
    from flask import Flask
    from flup.server.fcgi_base import Connection
    from flup.server.fcgi_single import WSGIServer

    connection = Connection(sock, None, WSGIServer(Flask("bare"), debug=False), None)
    with os.fdopen(control, "w") as channel:
        print("ready", file=channel)
    connection.run()


if __name__ == "__main__":
    _serve_bare(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
