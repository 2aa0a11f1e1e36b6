"""A site's tracing: the SDK of OpenTelemetry, which appends a line for each span to the file in `SPANS`."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from bridge.watchers.opentelemetry import Spans


class ToFile(SpanExporter):
    """Appends spans to the file."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with Path(os.environ["SPANS"]).open("a") as file:
            for span in spans:
                file.write(json.dumps({**json.loads(span.to_json()), "pid": os.getpid()}) + "\n")
        return SpanExportResult.SUCCESS


provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ToFile()))
trace.set_tracer_provider(provider)
spans = Spans()
