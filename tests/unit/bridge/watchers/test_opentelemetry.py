"""The spans, as OpenTelemetry's own SDK records them."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from bridge.moments import Begun, Deferred, Relayed, Settled, Spooled, Taken
from bridge.outcome import Failed, Succeeded
from bridge.settlement import Ack, DeadLetter
from bridge.watchers.opentelemetry import Spans, span_context_of
from tests.unit.bridge.examples import ERROR, envelope, event

NOW = 1_800_000_000_000_000_000
SECOND = 1_000_000_000


class Recorder:
    """A watcher that makes spans, and the spans that the SDK has exported."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")
        self.watcher = Spans(self.tracer, now=lambda: NOW)

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended."""
        return list(self._exporter.get_finished_spans())


@pytest.fixture
def recorder() -> Recorder:
    """A watcher with an exporter in memory."""
    return Recorder()


def test_a_deferred_event_is_a_part_of_its_request(recorder: Recorder) -> None:
    """The span of a `defer()` is a child of the request's span, and took as long as the publish."""
    with recorder.tracer.start_as_current_span("GET /") as request:
        traceparent = carried(request)
        recorder.watcher(Deferred(event(traceparent=traceparent), None, 0.5))

    deferred, whole = recorder.spans
    assert (deferred.name, deferred.kind) == ("defer account.created", SpanKind.PRODUCER)
    assert deferred.parent is not None
    assert whole.context is not None
    assert (deferred.parent.span_id, deferred.parent.trace_id) == (whole.context.span_id, whole.context.trace_id)
    assert (deferred.start_time, deferred.end_time) == (NOW - SECOND // 2, NOW)
    assert deferred.attributes is not None
    assert deferred.attributes["messaging.message.id"] == "0190-id"
    assert deferred.attributes["bridge.spooled"] is False


def test_a_spooled_event(recorder: Recorder) -> None:
    """Its span says that it was spooled; without a traceparent it begins a trace."""
    recorder.watcher(Spooled(event(), None, 0.5))

    [span] = recorder.spans
    assert span.parent is None
    assert span.attributes is not None
    assert span.attributes["bridge.spooled"] is True


def test_an_attempt_has_a_link_to_what_deferred_it(recorder: Recorder) -> None:
    """Its span begins a trace of its own, also within another span, and links to the request."""
    with recorder.tracer.start_as_current_span("GET /") as request:
        traceparent = carried(request)
        settled = Settled(envelope(event=event(traceparent=traceparent)), "mail", Succeeded("v7"), Ack(), 2.0)
        recorder.watcher(settled)

    attempt, whole = recorder.spans
    assert (attempt.name, attempt.kind, attempt.parent) == ("attempt account.created", SpanKind.CONSUMER, None)
    assert [link.context.span_id for link in attempt.links] == [request.get_span_context().span_id]
    assert attempt.context is not None
    assert whole.context is not None
    assert attempt.context.trace_id != whole.context.trace_id
    assert (attempt.start_time, attempt.end_time) == (NOW - 2 * SECOND, NOW)
    assert attempt.attributes is not None
    assert attempt.attributes["messaging.destination.name"] == "mail"
    assert (attempt.attributes["bridge.outcome"], attempt.attributes["bridge.attempt"]) == ("delivered", 1)
    assert attempt.status.status_code is StatusCode.UNSET


def test_a_failed_attempt(recorder: Recorder) -> None:
    """Its span has the error's status, and the exception with the app's traceback."""
    recorder.watcher(Settled(envelope(), "mail", Failed(ERROR), DeadLetter(envelope(), "not retried", ERROR), 1.0))

    [span] = recorder.spans
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "no such account")
    assert span.attributes is not None
    assert (span.attributes["error.type"], span.attributes["bridge.outcome"]) == ("ValueError", "dead")
    [exception] = span.events
    assert exception.attributes is not None
    assert exception.attributes["exception.stacktrace"] == ERROR.traceback
    assert span.links == ()


def test_a_relayed_event(recorder: Recorder) -> None:
    """Its span links to the request too."""
    recorder.watcher(Relayed(event(traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01"), None))

    [span] = recorder.spans
    assert (span.name, span.kind) == ("relay account.created", SpanKind.PRODUCER)
    assert [link.context.trace_id for link in span.links] == [int("1" * 32, 16)]


def test_other_moments_make_no_span(recorder: Recorder) -> None:
    """An event that is taken or begun has no span yet."""
    recorder.watcher(Taken(envelope(), "mail"))
    recorder.watcher(Begun(envelope(), "mail"))

    assert recorder.spans == []


@pytest.mark.parametrize(
    "traceparent",
    [
        *(None, "", "nonsense", "00-" + "0" * 32 + "-" + "2" * 16 + "-01", "00-" + "1" * 32 + "-" + "0" * 16 + "-01"),
        *("ff-" + "1" * 32 + "-" + "2" * 16 + "-01", "00-" + "1" * 31 + "-" + "2" * 16 + "-01"),
    ],
)
def test_a_traceparent_that_names_no_span(recorder: Recorder, traceparent: str | None) -> None:
    """It is ignored: anybody may have sent it."""
    assert span_context_of(traceparent) is None
    recorder.watcher(Settled(envelope(event=event(traceparent=traceparent)), "mail", Succeeded(), Ack(), 1.0))
    recorder.watcher(Deferred(event()._replace(traceparent=traceparent), None, 1.0))

    assert all(not span.links and span.parent is None for span in recorder.spans)


def carried(span: trace.Span) -> str:
    """Return the `traceparent` of a span, as an event carries it."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
