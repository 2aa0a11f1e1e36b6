"""A caller as data, so that the same code measures all."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

Ask = Callable[[float], float]
"""Calls with a number, and returns the answer, which is the same number."""


@dataclass(frozen=True, slots=True)
class Caller:
    """`command` starts its worker. `asking` is entered once, in the process that calls."""

    name: str
    broker: Literal["rabbitmq", "sqlite"]
    command: Sequence[str]
    asking: Callable[[], AbstractContextManager[Ask]]
