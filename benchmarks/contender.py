"""A contender as data, so that the same code measures all contenders."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal

PROCESSES = 2
URL = "BRIDGE_BROKER_URL"
"""The environment variable with the broker's URL: the bridge's own, which the peers' modules here read too."""

Send = Callable[[float], object]
"""Sends one event with this time as its payload. Called from several threads at once."""


@dataclass(frozen=True, slots=True)
class Promise:
    """The promises behind the figures of a contender.

    `confirmed`: a send returns when the broker has confirmed the event. `kept` is where the event waits, and whether it
    is on the disk. `runs` is what one event runs. `killed` is what becomes of an event whose worker is killed.
    """

    confirmed: bool
    kept: str
    runs: str
    killed: Literal["runs again", "is lost"] = "runs again"


@dataclass(frozen=True, slots=True)
class Contender:
    """One contender.

    `command` starts its worker with `PROCESSES` processes that run handlers. `sending` is entered once, in the process
    that sends. `sends_only`: only the sending is measured, since another contender has the same worker. `environment`
    is for the worker and the sender.
    """

    name: str
    broker: Literal["rabbitmq", "sqlite"]
    promise: Promise
    command: Sequence[str]
    sending: Callable[[], AbstractContextManager[Send]]
    environment: Mapping[str, str] = field(default_factory=dict)
    sends_only: bool = False
