"""Findings of an examination: each says how one subject is, and the next step if there is one. Values only: the
brokers' `inspection/` and the doctor make them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class FindingState(StrEnum):
    """The state of a finding's subject. `UNKNOWN`, which means that it could not be determined, is not good."""

    OK = "ok"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of an examination: a subject, its state, a sentence, and what to do about it. Without passwords."""

    subject: str
    state: FindingState
    sentence: str
    next_step: str | None = None


def ok(subject: str, sentence: str) -> Finding:
    """Return a finding that the subject is in order."""
    return Finding(subject, FindingState.OK, sentence)


def wrong(subject: str, sentence: str, next_step: str) -> Finding:
    """Return a finding that asks a person to do something."""
    return Finding(subject, FindingState.WRONG, sentence, next_step)


def unknown(subject: str, sentence: str, next_step: str) -> Finding:
    """Return a finding that the state could not be determined; `next_step` says how to find out."""
    return Finding(subject, FindingState.UNKNOWN, sentence, next_step)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `counted(1, "event")` is "1 event", `counted(2, "event")` is "2 events"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def some(names: Sequence[str], most: int = 3) -> str:
    """Return the first `most` names, and how many more there are, as text."""
    listed = ", ".join(names[:most])
    return f"{listed} and {len(names) - most} more" if len(names) > most else listed
