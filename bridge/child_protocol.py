"""The messages between a pool and its children, apart from FastCGI. Both sides import them from here.

| message | form |
|---|---|
| pool to child, at start | command-line options with the file descriptors: `Inherited.options`, `nursery_options` |
| child or nursery to pool, once, on `control` | one line of JSON: `Ready` or `CannotBoot` |
| pool to nursery, on the orders socket | a datagram `FORK` that carries the descriptors of an `Inherited`, in order |
| nursery to pool, on the same socket | a datagram of JSON: `Forked`, `CannotFork` or `Exited` |
| pool to front child, once, on its leash (`serve`) | JSON: `Listen`, which carries the listening socket |
| front child to pool, on its leash | a byte for each change: the `REQUEST_…` constants |
| child to worker, on `news` | a datagram of JSON: `Progress` or `Extend`, about the event that runs |
| worker to child, on `news` | a datagram of JSON: `Extended`, the answer to an `Extend` |
| worker to child, on `tokens` | a `StartToken` for each request, in the order of the requests |
| child to worker, on `output` | an output mark, before what a request prints whose token asks for it |
| pool to child, by signal | SIGTERM: finish the request and exit; `STACKS_SIGNAL`: write all stacks to `stacks` |

To end a child, the pool closes `serve`. If the pool dies, the kernel kills its children (PR_SET_PDEATHSIG).
"""

import json
import math
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, TypeGuard

SERVE_OPTION, CONTROL_OPTION, STACKS_OPTION, NURSERY_OPTION = "--fd", "--control", "--stacks", "--nursery"
NEWS_OPTION, TOKENS_OPTION = "--news", "--tokens"

STACKS_SIGNAL = "SIGUSR2"
"""On this signal a child writes the Python stacks of all its threads to `stacks`, even if its app is blocked."""

SHARED_SETTINGS = ("broker_url", "namespace", "replay_path")
"""The settings that must be equal in the app and the worker: the destination of events and the path of replays."""

DEFAULT_MAX_BODY = 1024 * 1024
MAX_REPORT = 1024 * 1024
"""Bytes of the longest report line that a pool reads."""

FORK = b"fork"
MAX_ORDER = 64
MAX_ANSWER = 64 * 1024
"""The longest datagrams in bytes: `MAX_ORDER` from pool to nursery, `MAX_ANSWER` from nursery to pool."""

MAX_LISTEN = 64 * 1024
"""Bytes of the longest `Listen`. A socket pair passes so many in one piece."""

REQUEST_READING, REQUEST_BEGUN, REQUEST_SERVED, REQUEST_DROPPED = b"?", b"+", b".", b"-"
"""A front child waits for the client to send the rest of a request; runs a request; has served a request; has dropped
the request that it was waiting for."""


class Inherited(NamedTuple):
    """The descriptors that a child inherits, in the order in which a `FORK` order carries them.

    `serve`: a connected socket on which the child serves FastCGI, or the leash of a front child. `control`: the
    destination of the report. `stacks`: the destination of the Python stacks. `output`: the destination of stdout and
    stderr; a child that is started as a program has it as its stdout and stderr already. `news`: a socket of datagrams
    about the event that runs. `tokens`: a connected socket from which the child takes the start tokens of its requests.
    """

    serve: int
    control: int
    stacks: int
    output: int
    news: int
    tokens: int

    def options(self) -> tuple[str, ...]:
        """Return the command-line options of a child that is started as a program. `output` needs no option."""
        return (
            *(SERVE_OPTION, str(self.serve)),
            *(CONTROL_OPTION, str(self.control)),
            *(STACKS_OPTION, str(self.stacks)),
            *(NEWS_OPTION, str(self.news)),
            *(TOKENS_OPTION, str(self.tokens)),
        )


def nursery_options(orders: int, control: int) -> tuple[str, ...]:
    """Return the command-line options of a nursery: the descriptors of its orders socket and of its report."""
    return (NURSERY_OPTION, str(orders), CONTROL_OPTION, str(control))


@dataclass(frozen=True, slots=True)
class Ready:
    """The report of a child that has imported the app and served a warm-up request, and now takes requests. A nursery
    sends it, with the default values, when it has imported the app.

    `settings` are the app's values of `SHARED_SETTINGS`; `max_body` is the most bytes of an event's data that the app
    defers.
    """

    release: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    max_body: int = DEFAULT_MAX_BODY


class CannotBoot(NamedTuple):
    """The report of a child or nursery that cannot serve; the message says why."""

    message: str


def write_report(report: Ready | CannotBoot) -> str:
    """Return the report as one line of text, line end included."""
    match report:
        case Ready():
            ready = {**asdict(report), "settings": dict(report.settings)}
            fields: dict[str, Any] = {"ready": ready}
        case CannotBoot(message=message):
            fields = {"failed": message}
    return json.dumps(fields) + "\n"


def read_report(line: bytes) -> Ready | CannotBoot | None:
    """Return the report in this line; None if the line is not a report, for instance if the child ended before it."""
    match _object(line):
        case {"failed": str(message)}:
            return CannotBoot(message)
        case {
            "ready": {
                "release": str() | None as release,
                "settings": dict(settings),
                "max_body": int(max_body),
            }
        }:
            if all(isinstance(value, str) for value in settings.values()):
                return Ready(release, settings, max_body)
    return None


class Forked(NamedTuple):
    """The nursery's answer to a `FORK` order: the process id of the new child."""

    pid: int


class CannotFork(NamedTuple):
    """The nursery's answer to a `FORK` order that failed; the message says why."""

    message: str


class Exited(NamedTuple):
    """A child of the nursery has ended. `status` is its exit status, or the signal that ended it as a negative
    number."""

    pid: int
    status: int


NurseryAnswer = Forked | CannotFork | Exited


def write_answer(answer: NurseryAnswer) -> bytes:
    """Return the answer as a datagram."""
    match answer:
        case Forked(pid=pid):
            fields: dict[str, Any] = {"forked": pid}
        case CannotFork(message=message):
            fields = {"failed": message}
        case Exited(pid=pid, status=status):
            fields = {"exited": pid, "status": status}
    return json.dumps(fields).encode()


def read_answer(datagram: bytes) -> NurseryAnswer | None:
    """Return the answer in this datagram; None if the datagram is not an answer of a nursery."""
    match _object(datagram):
        case {"forked": int(pid)} if pid > 1:
            return Forked(pid)
        case {"failed": str(message)}:
            return CannotFork(message)
        case {"exited": int(pid), "status": int(status)} if pid > 1:
            return Exited(pid, status)
    return None


class Listen(NamedTuple):
    """The pool's order to a front child: take connections from the socket that comes with it, from clients whose IP
    address is in one of the networks `allow`; without networks, from all clients."""

    allow: tuple[str, ...] = ()


def write_listen(order: Listen) -> bytes:
    """Return the order as bytes."""
    return json.dumps({"listen": {"allow": order.allow}}).encode()


def read_listen(data: bytes) -> Listen | None:
    """Return the order in these bytes; None if they are no order."""
    match _object(data):
        case {"listen": {"allow": list(allow)}} if all(isinstance(network, str) for network in allow):
            return Listen(tuple(allow))
    return None


class LeashNews(NamedTuple):
    """The content of some bytes from a front child's leash: the number of served requests, and what the child does
    now."""

    served: int
    doing: Literal["idle", "reading", "busy"]


def read_leash(data: bytes) -> LeashNews:
    """Decode bytes from a front child's leash. A child serves one request at a time."""
    served = data.count(REQUEST_SERVED)
    if data.endswith(REQUEST_BEGUN):
        return LeashNews(served, "busy")
    return LeashNews(served, "reading" if data.endswith(REQUEST_READING) else "idle")


class StartToken(NamedTuple):
    """The permission to begin the request with this FastCGI id. A child takes the next token before it begins a
    request, and skips the requests before the one that the token names. The worker takes back the tokens of requests
    that shall not begin; the kernel gives each token to one of them only. `marked`: the child writes an output mark
    before it begins the request.
    """

    request: int
    marked: bool


_TOKEN = struct.Struct(">H?x")
TOKEN_SIZE = _TOKEN.size
"""Bytes of a start token."""


def write_tokens(tokens: Iterable[StartToken]) -> bytes:
    """Return tokens as bytes."""
    return b"".join(_TOKEN.pack(*token) for token in tokens)


def read_tokens(data: bytes) -> list[StartToken]:
    """Return the tokens in these bytes, which are whole tokens."""
    return [StartToken(*token) for token in _TOKEN.iter_unpack(data)]


def read_token(data: bytes) -> tuple[int, bool]:
    """Return the request of the token that these bytes are, and whether it is marked."""
    request, marked = _TOKEN.unpack(data)
    return request, marked


OUTPUT_MARKS = re.compile(rb"(?:\0\x01([0-9]{5})\x02)+")
"""Marks with nothing printed between them. The group is the last one, the only one that counts."""
BEGINNING_OF_MARK = re.compile(rb"\0(?:\x01[0-9]{0,5})?\Z")


def output_mark(request: int) -> bytes:
    """Return the mark before what the request with this FastCGI id prints."""
    return b"\0\x01%05d\x02" % request


MAX_NEWS = 4096
"""Bytes of the longest datagram about an event. Longer ones are no news."""

MAX_NOTE = 200
"""Characters of the longest note of a progress. The child cuts a longer one."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of the event with this id: `done` of `total` (None: unknown), and a note for people."""

    id: str
    done: float
    total: float | None
    note: str


@dataclass(frozen=True, slots=True)
class Extend:
    """The child asks that the event with this id may run for `seconds` from now. `number` is for the answer."""

    id: str
    number: int
    seconds: float


class Extended(NamedTuple):
    """The worker's answer to the `Extend` of this number: whether the event has so much time."""

    number: int
    granted: bool


def write_news(news: Progress | Extend) -> bytes:
    """Return the news as a datagram."""
    kind = "progress" if isinstance(news, Progress) else "extend"
    return json.dumps({kind: asdict(news)}).encode()


def read_news(datagram: bytes) -> Progress | Extend | None:
    """Return the news in a datagram; None if it is no news. A child can write anything, so every value is checked."""
    match _object(datagram) if len(datagram) <= MAX_NEWS else None:
        case {"progress": {"id": str(id), "done": done, "total": total, "note": str(note)}}:
            if _is_finite(done) and (total is None or _is_finite(total)):
                return Progress(id, done, total, note[:MAX_NOTE])
        case {"extend": {"id": str(id), "number": int(number), "seconds": seconds}}:
            if _is_finite(seconds) and seconds > 0:
                return Extend(id, number, seconds)
    return None


def write_extended(answer: Extended) -> bytes:
    """Return the answer as a datagram."""
    return json.dumps({"extended": answer._asdict()}).encode()


def read_extended(datagram: bytes) -> Extended | None:
    """Return the answer in a datagram; None if it is none."""
    match _object(datagram):
        case {"extended": {"number": int(number), "granted": bool(granted)}}:
            return Extended(number, granted)
    return None


def _is_finite(value: object) -> TypeGuard[float]:
    """Return True for a number that a float can hold and JSON can write."""
    return type(value) in (int, float) and abs(value) < 2.0**63 and not math.isnan(value)  # type: ignore[arg-type]


def _object(text: bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
