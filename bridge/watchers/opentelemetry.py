"""Spans of OpenTelemetry for deferred events: a watcher for the setting `watchers`. Needs the extra `opentelemetry`.

A span is made after the fact, with the times of the fact. `defer()` and the relay are producers, an attempt is a
consumer. The span of an attempt begins a trace of its own and has a *link* to the span that deferred the event: an
attempt may run days later and many times, and would make the trace of a request endless.
"""

import re
import time
from collections.abc import Callable, Mapping

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from bridge.event import Event
from bridge.moments import Deferred, Moment, Relayed, Settled, Spooled

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SECOND = 1_000_000_000

Attributes = Mapping[str, str | int | float | bool]


class Spans:
    """Makes a span for each deferred, spooled and relayed event, and for each attempt.

    `tracer` is that of the process unless it is given; the process configures the SDK. `now` returns nanoseconds since
    1970.
    """

    def __init__(self, tracer: Tracer | None = None, now: Callable[[], int] = time.time_ns) -> None:
        self._tracer = tracer or trace.get_tracer("deferred-event-bridge")
        self._now = now

    def __call__(self, moment: Moment) -> None:
        match moment:
            case Deferred() | Spooled():
                self._defer(moment)
            case Relayed():
                self._relay(moment)
            case Settled():
                self._attempt(moment)

    def _defer(self, moment: Deferred | Spooled) -> None:
        context = span_context_of(moment.event.traceparent)
        parent = Context() if context is None else set_span_in_context(NonRecordingSpan(context), Context())
        attributes = {**_attributes(moment.event, "send"), "bridge.spooled": isinstance(moment, Spooled)}
        end = self._now()
        self._tracer.start_span(
            f"defer {moment.event.name}",
            context=parent,
            kind=SpanKind.PRODUCER,
            attributes=attributes,
            start_time=end - _nanoseconds(moment.seconds),
        ).end(end)

    def _relay(self, moment: Relayed) -> None:
        end = self._now()
        self._tracer.start_span(
            f"relay {moment.event.name}",
            context=Context(),
            kind=SpanKind.PRODUCER,
            attributes=_attributes(moment.event, "send"),
            links=_links(moment.event),
            start_time=end,
        ).end(end)

    def _attempt(self, moment: Settled) -> None:
        from bridge.history import end_of  # loads the retry policies, which a web process does not need

        attributes: dict[str, str | int | float | bool] = {
            **_attributes(moment.event, "process"),
            "messaging.destination.name": moment.queue,
            "bridge.attempt": moment.attempt,
            "bridge.outcome": end_of(moment.settlement),
        }
        if moment.release is not None:
            attributes["service.version"] = moment.release
        end = self._now()
        span = self._tracer.start_span(
            f"attempt {moment.event.name}",
            context=Context(),
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=_links(moment.event),
            start_time=end - _nanoseconds(moment.seconds),
        )
        if (error := moment.error) is not None:
            span.set_attribute("error.type", error.type)
            exception = {"exception.type": error.type, "exception.message": error.message}
            if error.traceback:
                exception["exception.stacktrace"] = error.traceback
            span.add_event("exception", exception, end)
            span.set_status(Status(StatusCode.ERROR, error.message))
        span.end(end)


def span_context_of(traceparent: str | None) -> SpanContext | None:
    """Return the span that a W3C `traceparent` names; None if it names none."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    if match is None or match[0].startswith("ff"):
        return None
    flags = TraceFlags(int(match[3], 16))
    context = SpanContext(int(match[1], 16), int(match[2], 16), is_remote=True, trace_flags=flags)
    return context if context.is_valid else None


def _links(event: Event) -> list[Link]:
    context = span_context_of(event.traceparent)
    return [] if context is None else [Link(context)]


def _attributes(event: Event, operation: str) -> Attributes:
    return {
        "messaging.system": "deferred-event-bridge",
        "messaging.operation.type": operation,
        "messaging.message.id": event.id,
        "messaging.message.body.size": len(event.data),
        "bridge.event": event.name,
    }


def _nanoseconds(seconds: float) -> int:
    return round(seconds * _SECOND)


spans = Spans()
"""For the setting `watchers`: `"bridge.watchers.opentelemetry:spans"`."""
