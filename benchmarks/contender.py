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
class Contender:
    """One contender.

    `command` starts its worker with `PROCESSES` processes that run handlers. `sending` is entered once, in the process
    that sends. `confirmed`: a send returns when the broker has confirmed the event. `sends_only`: only the sending is
    measured, since another contender has the same worker. `environment` is for the worker and the sender.
    """

    name: str
    broker: Literal["rabbitmq", "sqlite"]
    handler: str
    confirmed: bool
    command: Sequence[str]
    sending: Callable[[], AbstractContextManager[Send]]
    environment: Mapping[str, str] = field(default_factory=dict)
    sends_only: bool = False
