"""Evaluates Erlang expressions in a running node, by erl_call.

erl_call is a part of every Erlang and takes some milliseconds. rabbitmqctl starts an Erlang VM of its own, which takes
half a second of CPU each time.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.limits import PATIENCE


class EvaluationError(Exception):
    """The node cannot be reached, or the expressions are invalid. The message has the output of erl_call."""


def binary(text: str) -> str:
    """Return the Erlang expression of the binary with this text."""
    return f"<<{json.dumps(text)}/utf8>>"


def evaluate(name: str, expressions: str, environment: Mapping[str, str]) -> str:
    """Return the value of the last expression in Erlang's notation. `environment` is the node's own, since its home
    directory has the cookie. Raise `EvaluationError`."""
    cookie = Path(environment["HOME"], ".erlang.cookie").read_text()
    done = subprocess.run(
        ["erl_call", "-sname", name, "-c", cookie, "-e"],
        input=f"{expressions.strip()}\n",
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode != 0 or not done.stdout.startswith("{ok, "):
        raise EvaluationError(f"{name}: {expressions.strip()}: {done.stdout}{done.stderr}")
    return done.stdout.removeprefix("{ok, ").removesuffix("}")
