"""The CGI request of a replay. The worker writes it from an envelope, and the app's receiver reads it.

Paths and addresses come from the settings, never from an event. An HTTP client cannot set the `BRIDGE_*` parameters,
because a web server passes the headers of its clients on as `HTTP_*` only.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from bridge.envelope import Envelope
from bridge.event import Event, format_time, parse_time
from bridge.public_url import NO_PUBLIC_URL, PublicUrl

WARM_UP = "bridge.warmup"
"""The reserved event name of the warm-up replay, which tests a child's whole stack before the child takes an event."""


@dataclass(frozen=True, slots=True)
class ReplayTarget:
    """The destination of replays: the `replay_path` below which the app's receiver answers, and the app's public URL,
    which the receiver of a Flask app replaces by that of the app's own config. `fixed` are further parameters of every
    replay, such as SCRIPT_FILENAME for a foreign pool."""

    replay_path: str = "/_bridge"
    url: PublicUrl = NO_PUBLIC_URL
    fixed: Mapping[str, str] = field(default_factory=dict)


class Replay(NamedTuple):
    """A replay as the receiver reads it: the fields of its event, and `finished`, the listeners that need not run
    again."""

    id: str
    name: str
    source: str
    time: datetime
    content_type: str
    data: bytes
    traceparent: str | None
    attempt: int
    queue: str
    finished: tuple[str, ...]

    @property
    def event(self) -> Event:
        """The event."""
        return Event(self.id, self.name, self.source, self.time, self.content_type, self.data, self.traceparent)


OF_THE_EVENT = frozenset(("HTTP_CE_ID", "HTTP_CE_TIME", "CONTENT_LENGTH", "HTTP_TRACEPARENT"))
"""The parameters that are different in each event."""


def parameters(envelope: Envelope, queue: str, target: ReplayTarget) -> dict[str, str]:
    """Return the CGI parameters of the next replay. The body of the request is the event's data. The target's `fixed`
    parameters may have a QUERY_STRING, which is a part of the REQUEST_URI too."""
    return common_parameters(alike(envelope, queue), target) | event_parameters(envelope.event)


class Alike(NamedTuple):
    """What replays have in common whose requests differ in the parameters `OF_THE_EVENT` alone."""

    name: str
    source: str
    content_type: str
    queue: str
    attempt: int
    finished: tuple[str, ...]


def alike(envelope: Envelope, queue: str) -> Alike:
    """Return what the next replay of this envelope has in common with others."""
    event = envelope.event
    return Alike(event.name, event.source, event.content_type, queue, envelope.attempt_number, envelope.finished)


def common_parameters(replay: Alike, target: ReplayTarget) -> dict[str, str]:
    """Return the CGI parameters of these replays, without those of the event."""
    query = target.fixed.get("QUERY_STRING", "")
    result = {
        **target.fixed,
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "deferred-event-bridge",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REQUEST_METHOD": "POST",
        **target.url.parameters(f"{target.replay_path}/{replay.name}"),
        "QUERY_STRING": query,
        "CONTENT_TYPE": replay.content_type,
        "HTTP_CE_SPECVERSION": "1.0",
        "HTTP_CE_TYPE": replay.name,
        "HTTP_CE_SOURCE": _header(replay.source),
        "BRIDGE_REPLAY": "1",
        "BRIDGE_ATTEMPT": str(replay.attempt),
        "BRIDGE_QUEUE": replay.queue,
        "BRIDGE_FINISHED": json.dumps(replay.finished),
    }
    if query:
        result["REQUEST_URI"] += f"?{query}"
    return result


def event_parameters(event: Event) -> dict[str, str]:
    """Return the CGI parameters that each event has of its own, see `OF_THE_EVENT`."""
    own = {
        "CONTENT_LENGTH": str(len(event.data)),
        "HTTP_CE_ID": _header(event.id),
        "HTTP_CE_TIME": format_time(event.time),
    }
    if event.traceparent is not None:
        own["HTTP_TRACEPARENT"] = event.traceparent
    return own


def is_replay(environ: Mapping[str, Any]) -> bool:
    """Return whether a request is a replay. An HTTP client cannot forge one."""
    return environ.get("BRIDGE_REPLAY") == "1"


def read(environ: Mapping[str, Any], data: bytes) -> Replay:
    """Return the replay of these parameters and this body. Raise `ValueError` if a parameter is missing or invalid."""
    try:
        finished = environ["BRIDGE_FINISHED"]
        return Replay(
            _text(environ["HTTP_CE_ID"]),
            environ["HTTP_CE_TYPE"],
            _text(environ["HTTP_CE_SOURCE"]),
            parse_time(environ["HTTP_CE_TIME"]),
            environ.get("CONTENT_TYPE", ""),
            data,
            environ.get("HTTP_TRACEPARENT"),
            int(environ["BRIDGE_ATTEMPT"]),
            environ["BRIDGE_QUEUE"],
            () if finished == "[]" else tuple(json.loads(finished)),
        )
    except KeyError as error:
        raise ValueError(f"the replay has no parameter {error}") from error


_PLAIN = re.compile(r"[A-Za-z0-9._:/-]*")


def _header(text: str) -> str:
    """Return `text` percent-encoded by the rules of CloudEvents' HTTP binding: every character except printable ASCII,
    and also space, " and %."""
    return text if _PLAIN.fullmatch(text) else quote(text, safe="!#$&'()*+,/:;<=>?@[\\]^`{|}~")


def _text(header: str) -> str:
    """Return the text of which `_header` made this."""
    return unquote(header) if "%" in header else header
