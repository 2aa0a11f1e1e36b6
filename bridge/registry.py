"""The registry: which workers a site has, by the answers of those that run and by the log `workers`. Pure.

Each worker records its start, every `SEEN_EVERY` seconds that it runs, and its end. A worker that recorded no end and
does not answer is missing: it was killed, is frozen or hangs, or cannot reach the broker.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from bridge.errors import TooLarge
from bridge.json_fields import count, cut_text, exact_text, seconds
from bridge.logs import MAX_RECORD, Content, encode_record
from bridge.status import StatusError, WorkerStatus, from_object, to_json

SUBJECT = "status"
"""The subject of the broadcast that asks for the status of every worker."""

ANSWER_WITHIN, PATIENCE = 0.3, 0.7
"""Seconds for which a program waits for the answers to its question, and the longest wait for those to a second one
if not all have answered."""

MISSING_FOR = timedelta(days=1)
"""The time for which a worker that is gone without a word counts as missing."""

SEEN_EVERY = 3600.0
"""Seconds between two records of a worker that runs. A reader reads those of a day: of 50 workers, 1,200."""

Step = Literal["started", "running", "ended"]

_MAX_TEXT = 200
_MOST_SECONDS = 10.0**11
_MAX_WHY = 200


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a worker recorded about itself. `instance` is its own among all workers; a process id is used again."""

    step: Step
    time: datetime
    instance: str
    host: str
    pid: int
    app: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A worker that recorded no end and does not answer. `seen` is when it was last known to run."""

    host: str
    pid: int
    app: str
    seen: datetime


@dataclass(frozen=True, slots=True)
class Roll:
    """The workers of a site: those that answered, and those that are missing. `unreadable` are the answers that this
    program cannot read, as sentences."""

    workers: tuple[WorkerStatus, ...]
    missing: tuple[Missing, ...]
    unreadable: tuple[str, ...] = ()


def record_of(sighting: Sighting) -> Content:
    """Return the record of a sighting."""
    return {
        "step": sighting.step,
        "at": round(sighting.time.timestamp(), 3),
        "instance": sighting.instance,
        "host": sighting.host,
        "pid": sighting.pid,
        "app": sighting.app,
    }


def sighting_of(content: Content) -> Sighting | None:
    """Return the sighting in a record; None if the record has none."""
    try:
        step = content["step"]
        if step not in get_args(Step):
            return None
        return Sighting(
            step=step,
            time=datetime.fromtimestamp(seconds(content["at"], _MOST_SECONDS), UTC),
            instance=exact_text(content["instance"], _MAX_TEXT),
            host=cut_text(content["host"], _MAX_TEXT),
            pid=count(content["pid"], 2**31),
            app=cut_text(content["app"], _MAX_TEXT),
        )
    except (KeyError, ValueError):
        return None


def expected_of(sightings: Iterable[Sighting], now: datetime) -> dict[str, Sighting]:
    """Return the newest sighting of each worker that should answer, by instance. The sightings can have any order."""
    last: dict[str, Sighting] = {}
    ended: set[str] = set()
    for sighting in sightings:
        known = last.get(sighting.instance)
        if known is None or known.time < sighting.time:
            last[sighting.instance] = sighting
        if sighting.step == "ended":
            ended.add(sighting.instance)
    return {
        instance: each for instance, each in last.items() if instance not in ended and now - each.time <= MISSING_FOR
    }


def instances_of(answers: Iterable[Content]) -> set[str]:
    """Return the instances that have answered. A worker of another version has, although its status is not read."""
    return {instance for answer in answers if isinstance(instance := answer.get("instance"), str)}


def roll_of(answers: Sequence[Content], expected: Mapping[str, Sighting]) -> Roll:
    """Return the workers of a site by their answers, and by those that are expected to answer. The last answer of a
    worker counts."""
    workers: dict[str, WorkerStatus] = {}
    unreadable: list[str] = []
    for answer in answers:
        try:
            status = from_object(answer)
        except StatusError as error:
            unreadable.append(str(error))
            continue
        if isinstance(status, WorkerStatus):
            workers[status.instance] = status
    answered = instances_of(answers)
    missing = [
        Missing(each.host, each.pid, each.app, each.time)
        for instance, each in expected.items()
        if instance not in answered
    ]
    return Roll(
        tuple(sorted(workers.values(), key=lambda each: (each.host, each.pid))),
        tuple(sorted(missing, key=lambda each: (each.host, each.pid, each.seen))),
        tuple(unreadable),
    )


def answer_of(status: WorkerStatus) -> Content:
    """Return the status as an answer, within the limit of a record. A worker with too many slots leaves out the slots,
    and counts them in `slots_omitted`."""
    answer = to_json(status)
    try:
        encode_record(answer)
    except TooLarge:
        brief = replace(status, slots=(), slots_omitted=len(status.slots), trouble=_cut(status.trouble))
        return to_json(brief)
    return answer


def to_document(roll: Roll) -> dict[str, Any]:
    """Return the roll as a JSON object for programs."""
    return {
        "workers": [to_json(each) for each in roll.workers],
        "missing": [{**asdict(each), "seen": each.seen.isoformat()} for each in roll.missing],
        "unreadable": list(roll.unreadable),
    }


def _cut(text: str | None) -> str | None:
    return None if text is None else cut_text(text, MAX_RECORD // 64)
