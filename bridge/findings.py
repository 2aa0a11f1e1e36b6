"""Findings: what an examination says of one subject, with the next step where there is one. Values only: they are found
by `brokers/*/examination.py` and the doctor."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it stands. What could not be told is not well."""

    OK = "ok"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: a subject, how it stands, a sentence, and what to do about it. No password is in it."""

    subject: str
    state: State
    sentence: str
    next_step: str | None = None


@dataclass(frozen=True, slots=True)
class Examination:
    """All findings about a broker; `reached` tells whether it answered at all."""

    reached: bool
    findings: Sequence[Finding]


def ok(subject: str, sentence: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(subject, State.OK, sentence)


def wrong(subject: str, sentence: str, next_step: str) -> Finding:
    """Return a finding that asks for something to be done."""
    return Finding(subject, State.WRONG, sentence, next_step)


def unknown(subject: str, sentence: str, next_step: str) -> Finding:
    """Return what could not be told, and how to find out."""
    return Finding(subject, State.UNKNOWN, sentence, next_step)


def counted(number: int, noun: str) -> str:
    """Return a number of things, in words: `counted(1, "event")` is "1 event"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def some(names: Sequence[str], most: int = 3) -> str:
    """Return a few of many names, and how many more there are."""
    listed = ", ".join(names[:most])
    return f"{listed} and {len(names) - most} more" if len(names) > most else listed
