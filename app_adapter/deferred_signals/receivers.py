"""The receivers of signals: what defers them in the process that sends, and what runs them in the pool."""

import json
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from blinker import Signal
from flask import Flask, current_app

from app_adapter.callable_checks import is_async, name_of
from app_adapter.deferral import Deferral
from app_adapter.deferred_signals.codecs import Codecs
from app_adapter.listener_api import Event
from app_adapter.listeners import Function, Listener
from app_adapter.with_sqlalchemy import imported
from bridge.errors import shown
from bridge.reply import MAX_LISTENER_NAME

MOST_OF_NAME = MAX_LISTENER_NAME - 10
"""Characters of a receiver's name that are used, the last ones, so that a number has room."""

Receiver = Callable[..., Any]
Key = str | Callable[..., str] | None
"""A key, or a function of the sender and the arguments that returns it."""


class Sent(NamedTuple):
    """The sender and the arguments of one sending of a signal."""

    sender: Any
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Payloads:
    """Writes and reads the payloads of signals."""

    codecs: Codecs

    def write(self, sent: Sent, app: Flask, what: str) -> bytes:
        """Return the payload. `what` names the signal in messages. Raise `InvalidPayload`."""
        payload = {
            "sender": self.codecs.encoded(sent.sender, app, f"{what}: the sender"),
            "arguments": {
                name: self.codecs.encoded(value, app, f"{what}: the argument {name}")
                for name, value in sent.arguments.items()
            },
        }
        return json.dumps(payload, separators=(",", ":")).encode()

    def read(self, event: Event) -> Sent:
        """Return what the signal of an event was sent with, in the app that replays it."""
        payload = json.loads(event.data)
        match payload:
            case {"sender": sender, "arguments": dict() as arguments} if len(payload) == 2:
                app = current_app._get_current_object()  # type: ignore[attr-defined]  # typed as the app itself
                return Sent(
                    self.codecs.decoded(sender, app),
                    {name: self.codecs.decoded(value, app) for name, value in arguments.items()},
                )
        raise ValueError(f"the payload of {event.name!r} is {shown(payload)}: expected a sender and arguments")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The options of a receiver: the arguments of `defer()`, and those that may depend on the sender and arguments.
    `session` is a scoped session, a function that returns a session, or None."""

    deferral: Deferral
    key: Key
    session: Any = None


class DeferredReceiver:
    """Stands in for a receiver of a signal: a call with a sender and arguments defers an event for the receiver, and
    returns the event's id."""

    def __init__(self, receiver: Receiver, chosen: Chosen, send: "Callable[[Deferral, Sent, Any], str]") -> None:
        self.receiver = receiver
        self.chosen = chosen
        self._send = send

    def __call__(self, sender: Any = None, /, **arguments: Any) -> str:
        """Defer the receiver. Raise `DeferError`."""
        given = self.chosen.session
        session = None if given is None else imported("sessions").session_for(given, sender, arguments)
        return self._deferred(Sent(sender, arguments), session)

    def at_once(self, sender: Any, /, **arguments: Any) -> str:
        """Defer the receiver without its session. In the pool nobody would commit that one."""
        return self._deferred(Sent(sender, arguments), None)

    def _deferred(self, sent: Sent, session: Any) -> str:
        key = self.chosen.key
        key = key(sent.sender, **sent.arguments) if callable(key) else key
        return self._send(replace(self.chosen.deferral, key=key), sent, session)


@dataclass(frozen=True, slots=True)
class Run:
    """A receiver as a listener: it is called with what the signal was sent with. `signal`, if given, is asked first
    whether the receiver is connected for this sender."""

    receiver: Receiver
    payloads: Payloads
    signal: Signal | None = None

    def __call__(self, event: Event) -> Any:
        """Call the receiver, and return its result."""
        sent = self.payloads.read(event)
        if self.signal is not None and self.receiver not in self.signal.receivers_for(sent.sender):
            return None
        receiver = self.receiver.at_once if isinstance(self.receiver, DeferredReceiver) else self.receiver
        return receiver(sent.sender, **sent.arguments)


@dataclass(frozen=True, slots=True)
class AsyncRun:
    """As `Run`, for a receiver that is an `async def`."""

    run: Run

    async def __call__(self, event: Event) -> Any:
        """Call the receiver, and await its result."""
        result = self.run(event)
        return result if result is None else await result


def run_of(receiver: Receiver, payloads: Payloads, signal: Signal | None = None) -> Function:
    """Return the listener's function for a receiver."""
    run = Run(receiver, payloads, signal)
    return AsyncRun(run) if is_async(receiver) else run


@dataclass(frozen=True, slots=True)
class Connected:
    """The receivers that are connected to a signal when it is called, as listeners of the signal's event.

    Each has a name, so a retry calls those that have not finished. Of receivers with one name, the later ones have
    a number: every process connects them in the same order.
    """

    signal: Signal
    event_name: str
    payloads: Payloads

    def __call__(self) -> Iterator[Listener]:
        """Yield a listener for each receiver, in the order in which they were connected."""
        names: dict[str, int] = {}
        for receiver in _connected(self.signal):
            name = _name(receiver)[-MOST_OF_NAME:]
            names[name] = number = names.get(name, 0) + 1
            yield Listener(
                name if number == 1 else f"{name} {number}",
                run_of(receiver, self.payloads, self.signal),
                (self.event_name,),
                priority=0,
                observer=False,
            )


def _name(receiver: Receiver) -> str:
    return receiver.chosen.deferral.name if isinstance(receiver, DeferredReceiver) else name_of(receiver)


def _connected(signal: Signal) -> Iterator[Receiver]:
    for connected in tuple(signal.receivers.values()):
        receiver: Any = connected() if isinstance(connected, weakref.ref) else connected
        if receiver is not None:
            yield receiver
