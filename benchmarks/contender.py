"""What a contender is: data, so that all are measured by the same code."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal

PROCESSES = 2
URL = "BRIDGE_BROKER_URL"
"""The environment variable that says where the broker is: the bridge's own, which the peers read here as well."""

Send = Callable[[float], object]
"""Sends one event that carries the time at which it is sent. Called from several threads at once."""


@dataclass(frozen=True, slots=True)
class Contender:
    """`command` starts its worker with `PROCESSES` processes that run handlers; `sending` is entered once, in the
    process that sends. `confirmed`: a send returns when the broker has the event. `sends_only`: the worker is another
    contender's, so that only its sending is measured. `environment` is for both."""

    name: str
    broker: Literal["rabbitmq", "sqlite"]
    handler: str
    confirmed: bool
    command: Sequence[str]
    sending: Callable[[], AbstractContextManager[Send]]
    environment: Mapping[str, str] = field(default_factory=dict)
    sends_only: bool = False
