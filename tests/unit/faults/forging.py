"""Forges lines of a history, for the tests of the judge."""

from typing import Any

from tests.faults.account import Terms
from tests.faults.history import Record
from tests.faults.judge import judge

TERMS = Terms(attempts=3, waits=(1.0, 2.0), budget=2.0)
PUBLISHER, CHILD = 10, 20


def line(what: str, at: float, **known: Any) -> Record:
    """One record."""
    return {"what": what, "at": at, **known}


def invoke(key: str, at: float = 0.0, delay: float | None = None) -> Record:
    return line("invoke", at, key=key, pid=PUBLISHER, delay=delay)


def end(what: str, key: str, at: float = 0.1) -> Record:
    return line(what, at, key=key, pid=PUBLISHER)


def attempt(key: str, at: float, number: int = 1, pid: int = CHILD) -> Record:
    return line("attempt", at, key=key, id=key, attempt=number, pid=pid)


def failure(key: str, at: float, number: int = 1, pid: int = CHILD) -> Record:
    return line("failure", at, key=key, id=key, attempt=number, pid=pid)


def effect(key: str, at: float, number: int = 1, pid: int = CHILD) -> Record:
    return line("effect", at, key=key, id=key, attempt=number, pid=pid)


def dead(key: str, number: int = 1, at: float = 50.0) -> Record:
    return line("dead", at, key=key, number=number)


def hurt(at: float = 1.0, **known: Any) -> Record:
    return line("hurt", at, **{"act": "test", "repeats": 0, "copies": 0, "killed": [], "stopped": [], **known})


def starved(at: float, lasted: float, pid: int = PUBLISHER) -> Record:
    return line("starved", at, pid=pid, lasted=lasted)


def drained(**left: Any) -> Record:
    return line("drained", 99.0, **{"ready": 0, "held": 0, "waiting": 0, "unrouted": 0, "processes": [], **left})


def published(key: str, at: float = 0.0, what: str = "ok") -> tuple[Record, Record]:
    return invoke(key, at), end(what, key, at + 0.1)


def broken(*lines: Record, terms: Terms = TERMS, left: Record | None = None) -> list[str]:
    """Return the promises that the judge finds broken."""
    history = sorted((*lines, left or drained()), key=lambda record: record["at"])
    return [breach.rule for breach in judge(history, terms)]
