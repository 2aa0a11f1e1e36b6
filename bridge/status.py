"""The status of a worker, a pool and the spool, as types, and their JSON form.

Control sockets and `bridge-status --json` use this JSON. Times are in seconds, sizes in bytes. Each status has its
`kind` and the `format` in JSON. A reader accepts only its own format, and no unknown keys.
"""

import json
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, ClassVar, Literal, NoReturn, cast, get_args, get_origin, get_type_hints

from bridge.errors import BridgeError

FORMAT = 4
"""The version of the JSON form. It changes with every change of a field, so that programs of different versions do not
misread each other."""

MAX_STATUS = 8 * 1024 * 1024
"""The longest status that is read, in bytes. It has room for some ten thousand slots."""

_NUMBERS_BELOW = 2.0**63


class StatusError(BridgeError):
    """The text is not a status that this program can read; the message says why."""


@dataclass(frozen=True, slots=True)
class ProgressStatus:
    """The progress that a listener has told: `done` of `total` (None: unknown), and a note, which may be empty."""

    done: float
    total: float | None
    note: str

    def __str__(self) -> str:
        """Return the progress for people: `3 of 10, resizing`."""
        total = "" if self.total is None else f" of {self.total:g}"
        note = f", {self.note}" if self.note else ""
        return f"{self.done:g}{total}{note}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotStatus:
    """A slot, the child in it, and the request that runs in the child.

    `slot` is the number of the slot; None for a spare or retiring child. `restarts` counts the children that the slot
    has lost; `why` is the reason of the last loss, or of the retirement. `pid` to `release` describe the child, and are
    None while it boots. `seconds` is the time since the request began, None if the child is idle. A child is *reading*
    while a client of `bridge-pool` has sent only a part of a request. Only workers set `event`, its `id`, `queue` and
    `attempt`, the `deadline` (the seconds that the event may take, with those that it asked for) and `progress`.
    """

    slot: int | None
    state: Literal["booting", "idle", "reading", "busy", "spare", "retiring"]
    restarts: int | None = None
    why: str | None = None
    pid: int | None = None
    age: float | None = None
    requests: int | None = None
    rss: int | None = None
    boot_seconds: float | None = None
    release: str | None = None
    event: str | None = None
    id: str | None = None
    queue: str | None = None
    attempt: int | None = None
    seconds: float | None = None
    deadline: float | None = None
    progress: ProgressStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildrenStatus:
    """The children of a pool. `children` is the number of children that should take requests, `booting` the number that
    boot now, `release` the release of the newest children, `trouble` the error of the last failed boot."""

    release: str | None
    children: int
    booting: int
    restarts: int
    trouble: str | None
    slots: tuple[SlotStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """A queue as one worker serves it. `live` is True if the worker has a live consumer on the queue. `waits` says why
    the next event of the queue may not begin now, None if it may. `breaker` says why the queue's breaker holds its
    events, None if the breaker is closed. `held` is the number of its events that the worker has in hand, begun or not;
    `settled` the number of attempts that it has settled since its start."""

    live: bool
    waits: str | None = None
    breaker: str | None = None
    held: int = 0
    settled: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingStatus:
    """The state of a worker's event processing.

    `why`: the reason why the broker delivers nothing, or empty. `slots`: the number of slots that take events.
    `unconfirmed`: the number of settlements that the broker has not confirmed in time. `progress`: seconds since the
    last settlement, or, if the worker held no events, since the first event arrived. `late`: seconds since the oldest
    event in the worker became due, first attempts only. `deadline`: the longest time that a replay may take, in
    seconds.
    """

    queues: Mapping[str, QueueStatus]
    why: str
    slots: int
    unconfirmed: int
    progress: float
    late: float
    deadline: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus(ChildrenStatus):
    """A worker. `running` is the number of events that it holds. The counts of settled events begin at its start.

    `instance` tells it apart from all other workers, since process ids are used again. `slots_omitted` is the number of
    slots that were left out of `slots` to keep an answer over the broker small.
    """

    kind: ClassVar[str] = "worker"
    instance: str
    host: str
    pid: int
    slots_omitted: int = 0
    app: str
    broker: str
    namespace: str
    version: str
    age: float
    running: int
    delivered: int
    retried: int
    dead_lettered: int
    serving: ServingStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus(ChildrenStatus):
    """A pool that serves web servers at `address`. `served` counts the requests since its start."""

    kind: ClassVar[str] = "pool"
    pid: int
    app: str
    address: str
    version: str
    age: float
    served: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolStatus:
    """The spool in the file `spool`. `oldest` is the age of its oldest event. `slots` is always empty; the field exists
    for programs that list the slots of every status."""

    kind: ClassVar[str] = "spool"
    spool: str
    events: int
    oldest: float | None
    bytes: int
    trouble: str | None
    slots: tuple[SlotStatus, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStatus:
    """The outbox of a database. `outbox` is its name in `[stores]`, `oldest` the age of its oldest event. `slots` is as
    in `SpoolStatus`."""

    kind: ClassVar[str] = "outbox"
    outbox: str
    events: int
    oldest: float | None
    trouble: str | None
    slots: tuple[SlotStatus, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SidekiqStatus:
    """A queue of Sidekiq whose jobs become events. `sidekiq` is its name in `[stores]`, `events` the count of these
    jobs, `oldest` the age of the oldest of them. `staying` has the counts of the jobs that stay there, by their kind in
    words. `slots` is as in `SpoolStatus`."""

    kind: ClassVar[str] = "sidekiq"
    sidekiq: str
    events: int
    oldest: float | None
    staying: Mapping[str, int]
    trouble: str | None
    slots: tuple[SlotStatus, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableStatus:
    """A process whose control socket returned no readable status; `trouble` says why."""

    kind: ClassVar[str] = "unreadable"
    pid: int
    trouble: str
    slots: tuple[SlotStatus, ...] = ()


Status = WorkerStatus | PoolStatus | SpoolStatus | OutboxStatus | SidekiqStatus | UnreadableStatus
_KINDS: Mapping[object, type[Status]] = {each.kind: each for each in get_args(Status)}


def to_json(status: Status) -> dict[str, Any]:
    """Return the status as a JSON object for `json.dumps`."""
    return {"format": FORMAT, "kind": status.kind, **asdict(status)}


def from_json(text: bytes) -> Status:
    """Return the status in a JSON text. Raise `StatusError` for any other text or another `FORMAT`."""
    if len(text) > MAX_STATUS:
        raise StatusError(f"status: expected at most {MAX_STATUS} bytes")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StatusError(f"status: expected JSON: {error}") from error
    if not isinstance(document, dict):
        raise StatusError("status: expected an object")
    return from_object(document)


def from_object(document: Mapping[str, Any]) -> Status:
    """Return the status in a JSON object. Raise `StatusError` for any other object or another `FORMAT`."""
    fields_of_kind = dict(document)
    written = fields_of_kind.pop("format", None)
    if written != FORMAT or isinstance(written, bool):
        raise StatusError(
            f"its status has the format {_shown(written)}, this program reads {FORMAT}: use the same version of both"
        )
    kind = fields_of_kind.pop("kind", None)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise StatusError(f"status.kind: expected one of {', '.join(map(str, _KINDS))}, got {_shown(kind)}")
    status: Status = _record(_KINDS[kind], fields_of_kind, "status")
    return status


def _record(kind: Any, value: object, path: str) -> Any:
    """Build a dataclass from a JSON object that has exactly its fields. `path` is for the error message."""
    if not isinstance(value, dict):
        _refuse(path, "an object", value)
    hints = _hints(kind)
    if value.keys() != hints.keys():
        missing, unknown = sorted(hints.keys() - value.keys()), sorted(value.keys() - hints.keys())
        raise StatusError(f"{path}: fields missing: {_shown(missing)}; unknown: {_shown(unknown)}")
    return kind(**{name: _value(hint, value[name], f"{path}.{name}") for name, hint in hints.items()})


def _value(hint: Any, value: object, path: str) -> Any:
    """Return the value of a field with this type hint, from its JSON value."""
    origin, inner = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return _record(hint, value, path)
    if origin is UnionType:  # X | None
        return None if value is None else _value(inner[0], value, path)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(inner[0], each, f"{path}[{at}]") for at, each in enumerate(value))
    if origin is Mapping and isinstance(value, dict):
        return {key: _value(inner[1], each, f"{path}[{_shown(key)}]") for key, each in value.items()}
    if origin is Literal and value in inner:
        return value
    if hint is float and type(value) in (int, float) and abs(number := cast(float, value)) < _NUMBERS_BELOW:
        return float(number)
    if hint is int and type(value) is int and abs(value) < _NUMBERS_BELOW:
        return value
    if hint in (str, bool) and type(value) is hint:
        return value
    return _refuse(path, getattr(hint, "__name__", str(hint)), value)


@cache  # a site with 50 workers has some 500 records, and Python reads the hints of each from text
def _hints(kind: Any) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _refuse(path: str, expected: str, value: object) -> NoReturn:
    raise StatusError(f"{path}: expected {expected}, got {_shown(value)}")


def _shown(value: object) -> str:
    return reprlib.repr(value)
