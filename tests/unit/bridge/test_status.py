"""The typed status in JSON: a status is read back unchanged, and any other text is an error that says what is wrong."""

import json
from typing import Any

import pytest

from bridge.status import (
    FORMAT,
    MAX_STATUS,
    OutboxStatus,
    SidekiqStatus,
    SpoolStatus,
    Status,
    StatusError,
    UnreadableStatus,
    WorkerStatus,
    from_json,
    to_json,
)
from tests.unit.bridge.statuses import POOL, WORKER

STATUSES: list[Status] = [
    WORKER,
    POOL,
    OutboxStatus(outbox="shop", events=3, oldest=1.5, trouble=None),
    SidekiqStatus(sidekiq="old", events=3, oldest=1.5, staying={"jobs of class 'X'": 2}, trouble=None),
    SpoolStatus(spool="/var/spool.db", events=3, oldest=1.5, bytes=4096, trouble=None),
    UnreadableStatus(pid=11, trouble="it does not answer"),
]


def text(**changes: Any) -> bytes:
    """Return the JSON of a worker's status with these changes."""
    return json.dumps({**to_json(WORKER), **changes}).encode()


@pytest.mark.parametrize("status", STATUSES, ids=lambda status: status.kind)
def test_what_is_written_is_read_back(status: Status) -> None:
    """A status of each kind is read back from JSON unchanged, and its JSON has a list of slots."""
    written = to_json(status)

    assert from_json(json.dumps(written).encode()) == status
    assert written["kind"] == status.kind
    assert isinstance(json.loads(json.dumps(written))["slots"], list)


def test_a_whole_number_is_read_as_seconds() -> None:
    """A whole number is accepted for seconds, because other languages write 60.0 as 60."""
    status = from_json(text(age=60))

    assert status == WORKER
    assert isinstance(status, WorkerStatus)
    assert isinstance(status.age, float)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (b"", "expected JSON"),
        (b"\xff\xfe\x00", "expected JSON"),
        (b"[" * 100_000, "expected JSON"),
        (b"[]", "expected an object"),
        (b" " * (MAX_STATUS + 1), f"expected at most {MAX_STATUS} bytes"),
        (text(format=FORMAT + 1), f"has the format {FORMAT + 1}, this program reads {FORMAT}: use the same"),
        (text(format=True), "has the format True"),
        (b'{"pid": 11, "slots": []}', f"has the format None, this program reads {FORMAT}: use the same version"),
        (
            text(kind="lorry"),
            "expected one of worker, pool, spool, outbox, sidekiq, unreadable, got 'lorry'",
        ),
        (text(kind=["worker"]), "status.kind: expected one of"),
        (text(kind="pool"), "fields missing: ['address', 'served']; unknown: ["),
        (text(colour="red"), "fields missing: []; unknown: ['colour']"),
        (text(pid="11"), "status.pid: expected int, got '11'"),
        (text(pid=True), "status.pid: expected int, got True"),
        (text(pid=10**400), "status.pid: expected int, got 1000"),
        (text(pid=11.0), "status.pid: expected int, got 11.0"),
        (text(age="long"), "status.age: expected float, got 'long'"),
        (text(age=float("nan")), "status.age: expected float, got nan"),
        (text(age=float("inf")), "status.age: expected float, got inf"),
        (text(app=None), "status.app: expected str, got None"),
        (text(trouble=7), "status.trouble: expected str, got 7"),
        (text(slots={}), "status.slots: expected tuple"),
        (text(slots=[7]), "status.slots[0]: expected an object, got 7"),
        (text(slots=[{**to_json(WORKER)["slots"][1], "state": "asleep"}]), "status.slots[0].state: expected Literal"),
        (text(serving=None), "status.serving: expected an object, got None"),
        (text(serving={**to_json(WORKER)["serving"], "queues": {"mail": True}}), "serving.queues['mail']: expected an"),
        (text(app="x" * 10)[:-40], "expected JSON"),
    ],
)
def test_a_text_that_is_no_status_is_an_error_that_says_why(written: bytes, why: str) -> None:
    """Invalid JSON, another format, a missing, unknown or mistyped field, and a huge number raise `StatusError`."""
    with pytest.raises(StatusError) as error:
        from_json(written)

    assert why in str(error.value)
