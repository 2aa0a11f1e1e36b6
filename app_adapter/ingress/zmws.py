"""The dialect of zmws, the ZeroMQ Work Server: jobs by the path of a URL, and answers as plain text.

`/STR-REV?str=x` defers a job, and `/SYNC-STR-REV?str=x` waits for its value. `/SERVER-JOBS` has the last 100 jobs that
have run, and `/SERVER-WORKERS` the workers. zmws knew no tokens, so a token of the settings stands for all its clients.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from flask import Request, Response, current_app

from app_adapter.app_state import AppState
from app_adapter.ingress import reading
from app_adapter.ingress.access import Client
from app_adapter.ingress.asked import Asked
from app_adapter.ingress.cloudevents import Received
from app_adapter.ingress.keys import Keys
from app_adapter.ingress.problems import Problem
from app_adapter.ingress.sending import Answered, send
from bridge.config.ingress_settings import Right

SYNC = "SYNC-"
JOBS, WORKERS = "SERVER-JOBS", "SERVER-WORKERS"

Take = Callable[[Client, Received, Asked], None]
"""Checks an event and takes it from the client's rate; raises `Problem`."""


def parameters(request: Request, body: bytes) -> Mapping[str, str]:
    """Return the parameters of a job, from the URL and from a form."""
    is_form = request.mimetype == "application/x-www-form-urlencoded"
    return {**request.args.to_dict(), **dict(parse_qsl(body.decode("utf-8", "replace")) if is_form else ())}


def answer(
    state: AppState, client: Client, job: str, parameters: Mapping[str, str], wait: float, take: Take
) -> Response:
    """Return the answer to a request for this job. `wait` is the most seconds for a synchronous one."""
    if job == JOBS:
        client.check_right(Right.READ)
        return _listed([_finished(each) for each in reading.events(state.settings, client, {})])
    if job == WORKERS:
        client.check_right(Right.READ)
        return _listed(_workers(reading.workers(state.settings, client)))
    name, asked = job.removeprefix(SYNC), Asked({}, wait if job.startswith(SYNC) else 0.0)
    event = Received(name, current_app.json.dumps(parameters).encode(), "application/json")
    try:
        take(client, event, asked)
        result = send(state, Keys(), event, asked)  # its jobs have no keys
    except Problem as problem:
        return _text(f"FAIL: {name}\n{problem.detail}\n", problem.status, problem.headers)
    if not isinstance(result, Answered):
        return _text(f"JOB: {result}\n", 202)
    value = result.value
    if isinstance(value, bytes):
        return Response(value, content_type="application/octet-stream")
    return _text(value if isinstance(value, str) else current_app.json.dumps(value))


def _finished(attempt: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "service": attempt["name"],
        "jobid": attempt["id"],
        "completedat": attempt["time"],
        "success": attempt["end"] == "delivered",
    }


def _workers(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the workers, each with the app whose jobs it does."""
    return [{"service": each["app"], "workerid": f"{each['host']}-{each['pid']}"} for each in document["workers"]]


def _listed(items: list[Mapping[str, Any]]) -> Response:
    return Response(json.dumps(items), content_type="application/json")


def _text(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(text, status, headers, content_type="text/plain; charset=utf-8")
