"""The blinker signals of an app. Each is sent for a moment (`bridge.moments`) in one of the app's processes, after the
app's watchers have received the moment. The sender of every signal is the app.

A process sends what it knows by itself. The processes of the app know that an event was deferred, begins and has ended.
Only the worker knows whether a failed event is retried or is a dead letter, so `event_dead` is sent where an internal
event `bridge.dead_letter.…` is replayed: in a child, if a queue of the site takes these events.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from blinker import NamedSignal, Namespace
from flask import Flask

from bridge.app_moments import Deferred, Replayed, Replaying, Spooled
from bridge.topics import DEAD_LETTER
from bridge.watchers.notify import Watchers

if TYPE_CHECKING:
    from bridge.moments import Moment, Watcher

_signals = Namespace()

moment_occurred: NamedSignal = _signals.signal(
    "moment-occurred", doc="Sent for each moment of an app. The sender is the app; `moment` is one of `bridge.moments`."
)
event_deferred: NamedSignal = _signals.signal(
    "event-deferred",
    doc="Sent after an event was deferred. `event` is the event; `due` its due time (UTC), None for at once; `spooled` "
    "is True if it is in the spool and not yet in the broker.",
)
event_begun: NamedSignal = _signals.signal(
    "event-begun",
    doc="Sent within the request, before the first listener is called. `event`, `attempt` (from 1) and `queue`.",
)
event_ended: NamedSignal = _signals.signal(
    "event-ended",
    doc="Sent after the request of an event, in an app context. `event`, `attempt`, `queue`, `verdict` (a "
    "`bridge.reply.Verdict`: its `kind`, `error` and more) and `seconds`.",
)
event_failed: NamedSignal = _signals.signal(
    "event-failed",
    doc="Sent after `event_ended` if the verdict is 'failed'. As `event_ended`, and the `error` of the verdict: its "
    "type, message and traceback.",
)
event_dead: NamedSignal = _signals.signal(
    "event-dead",
    doc="Sent in the request that replays an internal event `bridge.dead_letter.…`. `letter` is its payload.",
)

OF_THE_BRIDGE = frozenset(_signals.values())
"""All of them. A receiver of theirs that defers an event would cause the next one."""

Sending = tuple[NamedSignal, Mapping[str, Any]]


def _deferred(moment: Deferred) -> Iterator[Sending]:
    yield event_deferred, {"event": moment.event, "due": moment.due, "spooled": False}


def _spooled(moment: Spooled) -> Iterator[Sending]:
    yield event_deferred, {"event": moment.event, "due": moment.due, "spooled": True}


def _replaying(moment: Replaying) -> Iterator[Sending]:
    yield event_begun, {"event": moment.event, "attempt": moment.attempt, "queue": moment.queue}
    if moment.event.name.startswith(DEAD_LETTER) and event_dead.receivers:
        with suppress(ValueError):  # a foreign publisher may have sent an event of this name
            yield event_dead, {"letter": json.loads(moment.event.data)}


def _replayed(moment: Replayed) -> Iterator[Sending]:
    verdict = moment.verdict
    about = {"event": moment.event, "attempt": moment.attempt, "queue": moment.queue}
    yield event_ended, {**about, "verdict": verdict, "seconds": moment.seconds}
    if verdict.kind == "failed":
        failure = {"verdict": verdict, "seconds": moment.seconds, "error": verdict.error}
        yield event_failed, {**about, **failure}


_NAMED: Mapping[type, Callable[[Any], Iterator[Sending]]] = {
    Deferred: _deferred,
    Spooled: _spooled,
    Replaying: _replaying,
    Replayed: _replayed,
}
"""The named signals of a moment, by its type. A moment of another type is sent as `moment_occurred` only."""

_SIGNALS: Mapping[type, tuple[NamedSignal, ...]] = {
    Deferred: (event_deferred,),
    Spooled: (event_deferred,),
    Replaying: (event_begun, event_dead),
    Replayed: (event_ended, event_failed),
}
"""The signals that `_NAMED` sends for a moment, by its type."""

_OF_REPLAYS = (moment_occurred, event_begun, event_ended, event_failed, event_dead)


class Announcer:
    """Tells one app's moments to the app's watchers, and sends the signals. What a watcher or receiver raises is logged
    and not raised."""

    def __init__(self, app: Flask, watchers: Watchers) -> None:
        self._app = app
        self._watchers = watchers

    def __call__(self, moment: "Moment") -> None:
        """Call the watchers, then the receivers of `moment_occurred`, then those of the moment's named signals."""
        self._watchers(moment)
        self._send(moment_occurred, {"moment": moment})
        named = _NAMED.get(type(moment))
        if named is not None:
            for signal, arguments in named(moment):
                self._send(signal, arguments)

    def add(self, watcher: "Watcher") -> None:
        """Tell a further watcher from now on."""
        self._watchers.add(watcher)

    def hears(self, kind: type) -> bool:
        """Return whether a watcher or a receiver listens to moments of this type."""
        if moment_occurred.receivers or self._watchers.hears(kind):
            return True
        return any(signal.receivers for signal in _SIGNALS.get(kind, ()))

    @property
    def hears_replays(self) -> bool:
        """True if somebody listens to the moments of replays. If nobody does, they need not be made."""
        if self._watchers:
            return True
        for signal in _OF_REPLAYS:  # noqa: SIM110 (it is asked for each event, and `any` takes three times as long)
            if signal.receivers:
                return True
        return False

    def takes_dead_letters(self) -> bool:
        """Return True if `event_dead` has a receiver for this app. Such an internal event needs no listener."""
        return bool(event_dead.receivers) and event_dead.has_receivers_for(self._app)

    def _send(self, signal: NamedSignal, arguments: Mapping[str, Any]) -> None:
        if signal.receivers and not signal.is_muted:
            for receiver in signal.receivers_for(self._app):
                self._watchers.attempt(receiver, self._app, **arguments)
