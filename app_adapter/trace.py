"""The trace that a deferred event continues, as a W3C `traceparent`."""

import sys

from flask import has_request_context, request


def current_traceparent() -> str | None:
    """Return the current span of OpenTelemetry if the process has loaded it, else the header of the current request.

    An app that has a span has loaded OpenTelemetry, so this module never imports it. The result may be malformed.
    """
    get_current_span = getattr(sys.modules.get("opentelemetry.trace"), "get_current_span", None)
    if get_current_span is not None:
        context = get_current_span().get_span_context()
        if context.is_valid:
            return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    return request.headers.get("traceparent") if has_request_context() else None
