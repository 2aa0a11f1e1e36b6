"""The replay as a CGI request: the worker writes it from an envelope, the receiver reads it back.

Paths and addresses come from settings, never from an event. `BRIDGE_*` are no `HTTP_*` parameters, so no HTTP client
can set them through a web server.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from bridge.envelope import Envelope
from bridge.event import Event, moment, timestamp

WARM_UP = "bridge.warmup"
"""The reserved name of the replay that proves a child's whole stack before it takes an event."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where replays go: the app's `host`, and the `replay_path` below which its receiver answers. `fixed` are the
    parameters that every replay has besides: SCRIPT_FILENAME, and what else a pool that others run is to be told."""

    host: str = "localhost"
    replay_path: str = "/_bridge"
    fixed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay as the receiver reads it."""

    event: Event
    attempt: int
    queue: str
    finished: tuple[str, ...]


def parameters(envelope: Envelope, queue: str, site: Site) -> dict[str, str]:
    """Return the CGI parameters of the next replay; the body is the event's data."""
    event = envelope.event
    path = f"{site.replay_path}/{event.name}"
    host, _, port = site.host.partition(":")
    result = {
        **site.fixed,
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "deferred-event-bridge",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": host,
        "SERVER_PORT": port or "80",
        "REMOTE_ADDR": "127.0.0.1",
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "REQUEST_URI": path,
        "QUERY_STRING": "",
        "CONTENT_TYPE": event.content_type,
        "CONTENT_LENGTH": str(len(event.data)),
        "HTTP_HOST": site.host,
        "HTTP_CE_SPECVERSION": "1.0",
        "HTTP_CE_ID": _header(event.id),
        "HTTP_CE_TYPE": event.name,
        "HTTP_CE_SOURCE": _header(event.source),
        "HTTP_CE_TIME": timestamp(event.time),
        "BRIDGE_REPLAY": "1",
        "BRIDGE_ATTEMPT": str(envelope.attempt_number),
        "BRIDGE_QUEUE": queue,
        "BRIDGE_FINISHED": json.dumps(envelope.finished) if envelope.finished else "[]",
    }
    if event.traceparent is not None:
        result["HTTP_TRACEPARENT"] = event.traceparent
    return result


def is_replay(environ: Mapping[str, Any]) -> bool:
    """Tell whether a request is a replay that came from the bridge itself."""
    return environ.get("BRIDGE_REPLAY") == "1"


def read(environ: Mapping[str, Any], data: bytes) -> Replay:
    """Return the replay that the parameters and the body hold. Raise `ValueError` where they hold none."""
    try:
        event = Event(
            id=unquote(environ["HTTP_CE_ID"]),
            name=environ["HTTP_CE_TYPE"],
            source=unquote(environ["HTTP_CE_SOURCE"]),
            time=moment(environ["HTTP_CE_TIME"]),
            content_type=environ.get("CONTENT_TYPE", ""),
            data=data,
            traceparent=environ.get("HTTP_TRACEPARENT"),
        )
        return Replay(
            event=event,
            attempt=int(environ["BRIDGE_ATTEMPT"]),
            queue=environ["BRIDGE_QUEUE"],
            finished=tuple(json.loads(environ["BRIDGE_FINISHED"])),
        )
    except KeyError as error:
        raise ValueError(f"the replay has no parameter {error}") from error


def _header(text: str) -> str:
    """Return `text` percent-encoded as CloudEvents' HTTP binding asks: all but printable ASCII, and space, " and %."""
    return quote(text, safe="!#$&'()*+,/:;<=>?@[\\]^`{|}~")
