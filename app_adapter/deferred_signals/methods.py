"""The methods of `DeferredEvents` about signals of blinker: who receives them later, what they may carry, and that a
signal is sent later as a whole.

Codecs and receivers are imported at the first use, because most apps defer no signal.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from blinker import ANY, Signal
from flask import Flask

from app_adapter.callable_checks import check_receiver, name_of
from app_adapter.defer import JSON, due_of
from app_adapter.deferral import Deferral, handling_of, within_of
from app_adapter.deferred_signals.names import qualified_name
from app_adapter.listeners import Listeners
from app_adapter.signals import OF_THE_BRIDGE
from app_adapter.with_sqlalchemy import imported
from bridge.errors import DeferError, shown
from bridge.topics import MAX_NAME_BYTES, SIGNAL, is_name

if TYPE_CHECKING:
    from app_adapter.deferred_signals.receivers import Chosen, DeferredReceiver, Key, Payloads, Sent

R = TypeVar("R", bound=Callable[..., Any])
S = TypeVar("S", bound=Signal)
T = TypeVar("T", bound=type)
Time = float | timedelta | str
Priority = Literal["high", "normal", "low"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


class DeferringApp(Protocol):
    """An app that can defer events."""

    @property
    def app(self) -> Flask:
        """The app."""

    def defer(self, deferral: Deferral, session: Any = None) -> str:
        """Defer an event, with the session's transaction if there is one; return its id."""


class DeferredSignals(ABC):
    """The part of `DeferredEvents` about signals."""

    listeners: Listeners

    def __init__(self) -> None:
        self._signals: dict[Signal, str] = {}
        self._receivers: dict[str, DeferredReceiver] = {}

    @cached_property
    def _payloads(self) -> "Payloads":
        from app_adapter.deferred_signals.codecs import Codecs
        from app_adapter.deferred_signals.receivers import Payloads

        return Payloads(Codecs())

    @abstractmethod
    def _state(self) -> DeferringApp:
        """Return the app that defers now. Raise `DeferError` if there is none."""

    def signal(self, signal: S, *, name: str | None = None) -> S:
        """Register a signal, so that `send_deferred` can send it; return the signal.

        `name`, by default the signal's own, is a part of its events' names. Raise `ValueError` for a name that is no
        word of an event name, for one that another signal has, and for a signal of the bridge; `TypeError` for anything
        but a signal.
        """
        if not isinstance(signal, Signal):
            raise TypeError(f"signal {shown(signal)}: expected a signal of blinker")
        if signal in OF_THE_BRIDGE:
            raise ValueError(f"signal {shown(signal)}: expected a signal that the deferring of an event does not send")
        known = self._signals.get(signal)
        word = name or known or getattr(signal, "name", None)
        if not isinstance(word, str) or not _NAME.fullmatch(word):
            raise ValueError(
                f"signal {word or signal!r:.100}: expected a name of A-Z a-z 0-9 _ -, at most 100 characters; "
                "register it with a name of this form: events.signal(the_signal, name='order-paid')"
            )
        if known not in (None, word) or any(each is not signal and has == word for each, has in self._signals.items()):
            raise ValueError(f"signal {word!r}: expected one name for each signal; pass another with events.signal()")
        if known is None:
            from app_adapter.deferred_signals.receivers import Connected

            self._signals[signal] = word
            event_name = f"{SIGNAL}{word}"
            self.listeners.add_group(event_name, Connected(signal, event_name, self._payloads))
        return signal

    def deferred(
        self,
        signal: Signal,
        *,
        sender: Any = ANY,
        name: str | None = None,
        delay: Time | None = None,
        priority: Priority | None = None,
        expires: Time | None = None,
        retry: Mapping[str, Any] | None = None,
        key: "Key" = None,
        within: Time | None = None,
        session: Any = None,
    ) -> Callable[[R], R]:
        """Connect the decorated function, plain or async, to a signal, in place of `signal.connect`: whenever the
        signal is sent, an event is deferred, and the function runs in the pool with the sender and the arguments.

        With `sender`, only what this sender sends is received. `name`, by default the function's module and name, finds
        it again in the pool. `delay`, `priority`, `expires`, `retry`, `key` and `within` are those of `defer()`; `key`
        may be a function of the sender and arguments. `session` is a scoped session of SQLAlchemy 2, or a function of
        the sender and arguments that returns a session: the event is deferred exactly if the session's transaction is
        committed, see docs/outbox.md. Sending the signal raises what `defer()` raises, and
        `InvalidPayload` for a sender or argument that no codec takes.

        Raise `ValueError` for a lambda, for a function in a function, and for a name that another function has;
        `DeferError` for an option that cannot be used; `TypeError` for what is no function or no signal.
        """
        self.signal(signal)
        word = self._signals[signal]
        if session is not None:
            imported("sessions").check_source(session)
        from app_adapter.deferred_signals.receivers import Chosen

        options = Deferral("", delay=delay, priority=priority, expires=expires, retry=retry, within=within)
        _check(replace(options, key="any" if callable(key) else key))

        def connect(receiver: R) -> R:
            check_receiver(f"receiver {name_of(receiver)!r} of the signal {word!r}", receiver)
            found_by = qualified_name(receiver, f"receiver of the signal {word!r}:")
            event_name = f"{SIGNAL}{word}.{name or found_by}"
            if not is_name(event_name):
                raise ValueError(
                    f"receiver {event_name!r:.220}: expected the name of an event, with words of A-Z a-z 0-9 _ -, at "
                    f"most {MAX_NAME_BYTES} bytes; pass name="
                )
            deferral = replace(options, name=event_name, content_type=JSON)
            signal.connect(self._receiver(receiver, Chosen(deferral, key, session)), sender=sender)
            return receiver

        return connect

    def send_deferred(
        self,
        signal: Signal,
        sender: Any = None,
        /,
        *,
        _delay: Time | None = None,
        _at: datetime | None = None,
        _priority: Priority | None = None,
        _expires: Time | datetime | None = None,
        _retry: Mapping[str, Any] | None = None,
        _key: str | None = None,
        _within: Time | None = None,
        _session: Any = None,
        **arguments: Any,
    ) -> str:
        """Send a signal later: defer one event, in which the receivers that are connected in the pool are called;
        return its id.

        Each receiver is a listener of the event: a retry calls those that have not finished. The options are those of
        `defer()`, with a `_` so that none can be taken for an argument of the signal. With `_session`, the event is
        deferred exactly if the session's transaction is committed.

        Raise what `defer()` raises, and `InvalidPayload` for a sender or argument that no codec takes. Raise
        `DeferError` for a signal that `events.signal()` did not register.
        """
        word = self._signals.get(signal)
        if word is None:
            raise DeferError(
                f"send_deferred({shown(signal)}): expected a signal that is registered where it is defined: "
                "events.signal(the_signal)"
            )
        deferral = Deferral(
            f"{SIGNAL}{word}",
            content_type=JSON,
            delay=_delay,
            at=_at,
            priority=_priority,
            expires=_expires,
            retry=_retry,
            key=_key,
            within=_within,
        )
        from app_adapter.deferred_signals.receivers import Sent

        return self._send(deferral, Sent(sender, arguments), _session)

    def codec(
        self,
        kind: T,
        encode: Callable[[Any], Any] | None = None,
        decode: Callable[[Any], Any] | None = None,
        *,
        name: str | None = None,
    ) -> T:
        """Let the instances of a class travel with signals; return the class, so that it can be decorated.

        `encode` returns what an instance is found or made by, and `decode` is called with it in the pool. An enum and
        a dataclass need neither. `name`, by default the class's module and name, stands for the class in the payload.
        Subclasses travel too, if `encode` is given.

        Raise `ValueError` for a class or a name that has a codec, and for a class in a function without a `name`;
        `TypeError` for what is no class, and for functions that cannot be called with one value.
        """
        self._payloads.codecs.register(kind, encode, decode, name)
        return kind

    def _receiver(self, receiver: Callable[..., Any], chosen: "Chosen") -> "DeferredReceiver":
        """Return what defers the receiver: one object for all senders that it is connected for."""
        from app_adapter.deferred_signals.receivers import DeferredReceiver, run_of

        name = chosen.deferral.name
        known = self._receivers.get(name)
        if known is None:
            listener = run_of(receiver, self._payloads)
            self.listeners.on(name, name=name)(listener)
            known = self._receivers[name] = DeferredReceiver(receiver, chosen, self._send)
        if known.receiver != receiver:
            raise ValueError(f"receiver {name!r}: another function has this name; pass name= to tell them apart")
        if known.chosen != chosen:
            raise ValueError(f"receiver {name!r}: expected the same options each time it is connected")
        return known

    def _send(self, deferral: Deferral, sent: "Sent", session: Any) -> str:
        state = self._state()
        return state.defer(replace(deferral, payload=self._payloads.write(sent, state.app, deferral.name)), session)


def _check(options: Deferral) -> None:
    """Raise `DeferError` now for options that every event would be refused for."""
    now = datetime.now(UTC)
    handling_of(options, due_of(options.delay, options.at, now), now)
    within_of(options, now)
