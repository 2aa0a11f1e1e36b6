"""Spans of a site that has OpenTelemetry: a request, what it defers, and the attempts in the worker."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.journey.site import Site
from tests.lines import whole_lines

REQUEST = """
from behaving import events
from opentelemetry import trace
with trace.get_tracer("app").start_as_current_span("GET /"):
    events.defer("do.this", {"do": ["fail", "ok"]})
"""


def request(site: Site) -> None:
    """Run the request in a process of its own."""
    environment = os.environ | site.environment
    subprocess.run([sys.executable, "-c", REQUEST], cwd=site.directory, env=environment, check=True)


def spans_of(site: Site) -> list[dict[str, Any]]:
    """Return the exported spans, in the order in which they ended."""
    return [json.loads(line) for line in whole_lines(Path(site.environment["SPANS"]))]


async def test_attempts_link_to_the_request(here: Site) -> None:
    """The span of the `defer()` is a child of the request's; those of both attempts, in the worker, link to it."""
    here.environment["SPANS"] = str(here.directory / "spans")
    here.configure("watchers = ['tracing:spans']\nretry = {attempts = 2, initial = '1s', base = 1, jitter = 0}\n")
    await asyncio.to_thread(request, here)
    worker = here.worker("--until-settled")
    assert await worker.ended() == 0, worker.log

    deferred, whole, *attempts = spans_of(here)
    assert (deferred["name"], whole["name"]) == ("defer do.this", "GET /")
    assert deferred["parent_id"] == whole["context"]["span_id"]
    assert [attempt["attributes"]["bridge.outcome"] for attempt in attempts] == ["retried", "delivered"]
    for attempt in attempts:
        assert attempt["pid"] == worker.process.pid
        assert [link["context"]["span_id"] for link in attempt["links"]] == [whole["context"]["span_id"]]
        assert attempt["context"]["trace_id"] != whole["context"]["trace_id"]
