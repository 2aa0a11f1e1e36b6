"""The form of acts: an act asks a question, freezes its content, and gets the form back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.config.dashboard_settings import Role
from deferred_event_bridge.dashboard.screens.asked import Asked

MAX_FIELD = 100

MAX_WHY = 300
"""The most characters of a reason."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an act's form that the person fills in. With `lines` it has room for many lines."""

    name: str
    label: str
    hint: str
    value: str = ""
    required: bool = False
    lines: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """The question that an act asks first. `frozen` is signed with the form and comes back unchanged. `back` and
    `after` are the screens to show if the answer is no, and after the act, with their query."""

    title: str
    sentences: tuple[str, ...]
    button: str
    frozen: Mapping[str, Any]
    command: str
    back: tuple[str, Mapping[str, str]]
    after: tuple[str, Mapping[str, str]]
    fields: tuple[Field, ...] = ()
    danger: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """A form that was sent: its frozen content, the person's fields, and who and why for the record."""

    frozen: Mapping[str, Any]
    fields: Mapping[str, str]
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class Act:
    """An act: the role that it needs, its question, and what it does. `do` returns a sentence about what was done. A
    field of its form has at most `most` characters."""

    role: Role
    ask: Callable[[Asked], Question]
    do: Callable[[Asked, Sent], str]
    most: int = MAX_FIELD
