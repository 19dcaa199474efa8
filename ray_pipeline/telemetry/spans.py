"""The trace of a chunk by OpenTelemetry: reading, preparing, scoring with each batch and its permit, writing.

A chunk is told of when it is committed, all spans with the times that they had: nothing of a trace travels with the
work, and only the driver speaks to the collector.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ray_pipeline.errors import JobFileError
from ray_pipeline.telemetry.course import BatchSeen, Committed, Stage

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

_NS = 10**9
_SEND_S = 5  # a collector that is away keeps no job from ending


def otlp_exporter(endpoint: str) -> SpanExporter:
    """What sends spans to a collector by OTLP over gRPC, such as `http://localhost:4317`.

    Raises JobFileError if OpenTelemetry is not installed.
    """
    if find_spec("opentelemetry.exporter.otlp.proto.grpc") is None:
        raise JobFileError(
            f"a trace was asked for (to {endpoint}), but OpenTelemetry is not installed: pip install 'rayton[observe]'"
        )
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint, timeout=_SEND_S)


class Spans:
    """Tells a collector of chunks, each a trace."""

    def __init__(self, job: str, run: str, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource.create({"service.name": "rayton", "rayton.job": job, "rayton.run": run})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("rayton")

    def take(self, committed: Committed) -> None:
        """A chunk was committed."""
        part, course = committed.part, committed.course
        ends_s = course.write.began_s + course.write.took_s
        said = {"rayton.chunk": part.chunk, "rayton.node": course.node}
        chunk = self._span("chunk", None, course.read.began_s, said)
        for name in ("read", "prepare", "score", "write"):
            stage: Stage = getattr(course, name)
            span = self._span(name, chunk, stage.began_s)
            if name == "score":
                span.set_attribute("rayton.batches", course.batches.count)
                for batch in course.batches.each:
                    self._batch(span, batch)
            span.end(_ns(stage.began_s + stage.took_s))
        chunk.set_attributes({"rayton.scored": part.scored, "rayton.rejected": part.rejected})
        chunk.end(_ns(ends_s))

    def close(self, error: str | None) -> None:
        """Sends what was not sent yet."""
        self._provider.shutdown()

    def _batch(self, score: Span, batch: BatchSeen) -> None:
        asked_s = batch.at_s - batch.permit_s
        self._span("permit", score, asked_s).end(_ns(batch.at_s))
        infer = self._span("infer", score, batch.at_s, {"rayton.rows": batch.rows})
        infer.end(_ns(batch.at_s + batch.took_s))

    def _span(
        self, name: str, parent: Span | None, began_s: float, said: Mapping[str, str | int] | None = None
    ) -> Span:
        from opentelemetry.context import Context
        from opentelemetry.trace import set_span_in_context

        context = Context() if parent is None else set_span_in_context(parent, Context())
        return self._tracer.start_span(name, context, attributes=said, start_time=_ns(began_s))


def _ns(seconds: float) -> int:
    return round(seconds * _NS)
