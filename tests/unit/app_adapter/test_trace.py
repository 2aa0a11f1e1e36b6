"""The trace that a deferred event continues: the current span of OpenTelemetry, else the incoming header."""

import subprocess
import sys
from contextlib import AbstractContextManager

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from tests.unit.app_adapter.replays import Shop

HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID, SPAN_ID = 0x1234, 0xABCD
SPAN = f"00-{TRACE_ID:032x}-{SPAN_ID:016x}"


def span(flags: int = 1, trace_id: int = TRACE_ID) -> AbstractContextManager[trace.Span]:
    """Return a block within a span, such as an instrumented app or client has."""
    context = SpanContext(trace_id, SPAN_ID, is_remote=False, trace_flags=TraceFlags(flags))
    return use_span(NonRecordingSpan(context))


def deferred_in_a_request(shop: Shop, header: str | None) -> str | None:
    """Return the traceparent of an event that is deferred in a request with this header."""
    headers = {} if header is None else {"traceparent": header}
    with shop.events.testing() as deferred, shop.app.test_request_context("/", headers=headers):
        shop.events.defer("order.paid")
        return deferred[0].event.traceparent


@pytest.mark.parametrize(("flags", "written"), [(1, "01"), (0, "00"), (3, "03")])
@pytest.mark.parametrize("header", [HEADER, None])
def test_the_current_span_is_carried(flags: int, written: str, header: str | None) -> None:
    """It is nearer than the incoming header. Whether it is sampled goes along."""
    with span(flags):
        assert deferred_in_a_request(Shop(), header) == f"{SPAN}-{written}"


def test_outside_a_request_too() -> None:
    """A command or a thread of the app may have a span."""
    shop = Shop()

    with span(), shop.events.testing() as deferred:
        shop.events.defer("order.paid")

    assert deferred[0].event.traceparent == f"{SPAN}-01"


def test_without_a_span_the_incoming_header_is_carried() -> None:
    """OpenTelemetry may be there without having a span."""
    assert deferred_in_a_request(Shop(), HEADER) == HEADER
    with span(trace_id=0):
        assert deferred_in_a_request(Shop(), HEADER) == HEADER


@pytest.mark.parametrize("header", [None, "", "00-x", HEADER.upper(), HEADER.replace("00-", "01-")])
def test_without_both_there_is_none(header: str | None) -> None:
    """A malformed header is left out."""
    assert deferred_in_a_request(Shop(), header) is None


def test_a_listener_continues_the_trace_of_its_event() -> None:
    """The replay has the header, and a span around the replay is nearer."""
    shop = Shop()
    shop.events.on("order.paid", name="chain")(lambda event: shop.events.defer("order.sent"))

    with shop.events.testing() as deferred:
        with span():
            shop.events.defer("order.paid")
        deferred.replay()
        with span(0):
            deferred[0].replay()

    assert [each.event.traceparent for each in deferred] == [f"{SPAN}-01", f"{SPAN}-01", f"{SPAN}-00"]


def test_without_opentelemetry_the_header_is_carried() -> None:
    """An app does not pay for its import, and need not have it."""
    code = f"""
import sys
sys.modules["opentelemetry"] = None
from flask import Flask
from app_adapter import DeferredEvents
app = Flask("shop")
events = DeferredEvents(app)
with events.testing() as deferred, app.test_request_context("/", headers={{"traceparent": "{HEADER}"}}):
    events.defer("order.paid")
print(deferred[0].event.traceparent, "opentelemetry.trace" in sys.modules)
"""

    assert subprocess.check_output([sys.executable, "-P", "-c", code], text=True) == f"{HEADER} False\n"
