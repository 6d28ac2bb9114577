"""The tracer that sends: OpenTelemetry's SDK, batched, OTLP over HTTP. Needs the otel extra.

Attributes are those of OpenTelemetry's semantic conventions for generative AI. No text of a
prompt or a completion is in a span.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit, urlunsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from pilotage import __version__
from pilotage.engines.engine import SamplingParams
from pilotage.serve.telemetry.request_record import Operation, RequestRecord
from pilotage.serve.telemetry.tracing import SHUTDOWN_TIMEOUT_S

_TRACES_PATH = "/v1/traces"


class OtlpTracer:
    """Sends spans to a collector in the background; a collector that is away costs no request.

    Args:
        endpoint: The collector's address; ``None`` takes it from OpenTelemetry's variables.
        service_name: What the traces are filed under.
    """

    def __init__(self, endpoint: str | None, service_name: str) -> None:
        resource = Resource.create({"service.name": service_name, "service.version": __version__})
        # Its own exit handler would wait for a collector that is away; `shutdown` has a bound.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=_traces_address(endpoint) if endpoint else None)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("pilotage", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def start(
        self,
        operation: Operation,
        model: str,
        *,
        headers: Mapping[str, str],
        params: SamplingParams,
        request_id: str,
        choices: int = 1,
        stream: bool = False,
    ) -> OtlpSpan:
        """Begin the span of a request; see `pilotage.serve.telemetry.tracing.Tracer`."""
        attributes: dict[str, AttributeValue] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "pilotage",
            "gen_ai.request.model": model,
            "gen_ai.request.stream": stream,
            "gen_ai.response.id": request_id,
            **_request_attributes(params),
        }
        if choices != 1:
            attributes["gen_ai.request.choice.count"] = choices
        started_ns = time.time_ns()
        span = self._tracer.start_span(
            f"{operation} {model}",
            context=self._propagator.extract(headers),
            kind=SpanKind.SERVER,
            attributes=attributes,
            start_time=started_ns,
        )
        return OtlpSpan(self._tracer, span, started_ns)

    def shutdown(self, timeout_s: float = SHUTDOWN_TIMEOUT_S) -> None:
        """Send what has not been sent; give up after ``timeout_s`` seconds."""
        # The SDK's own shutdown waits up to half a minute and takes no bound.
        flush = threading.Thread(target=self._provider.shutdown, name="otlp-flush", daemon=True)
        flush.start()
        flush.join(timeout_s)


class OtlpSpan:
    """A request's span, and as its children the times it spent in the queue, prefill and decode.

    Attributes:
        trace_id: Its trace, 32 hexadecimal digits; ``None`` if the sampler left it out.
    """

    def __init__(self, tracer: Tracer, span: Span, started_ns: int) -> None:
        trace_id = span.get_span_context().trace_id
        self.trace_id = f"{trace_id:032x}" if span.is_recording() else None
        self._tracer = tracer
        self._span = span
        self._started_ns = started_ns

    def finish(
        self,
        record: RequestRecord,
        *,
        finish_reasons: Sequence[str] = (),
        queue_s: float | None = None,
    ) -> None:
        """End it, once; see `pilotage.serve.telemetry.tracing.RequestSpan`."""
        span = self._span
        if not span.is_recording():
            return
        ended_ns = time.time_ns()
        attributes: dict[str, AttributeValue] = {
            "http.request.method": "POST",
            "http.route": record.endpoint,
            "http.response.status_code": record.status,
            "gen_ai.response.model": record.model,
            "gen_ai.usage.input_tokens": record.prompt_tokens,
            "gen_ai.usage.output_tokens": record.completion_tokens,
        }
        if finish_reasons:
            attributes["gen_ai.response.finish_reasons"] = tuple(finish_reasons)
        if record.ttft_s is not None:
            attributes["gen_ai.response.time_to_first_chunk"] = record.ttft_s
        if record.reason is not None:
            attributes["error.type"] = record.reason
            span.set_status(Status(StatusCode.ERROR))
        span.set_attributes(attributes)
        self._add_phases(record.ttft_s, queue_s, ended_ns)
        span.end(end_time=ended_ns)

    def _add_phases(self, ttft_s: float | None, queue_s: float | None, ended_ns: int) -> None:
        admitted_ns = None if queue_s is None else self._started_ns + round(queue_s * 1e9)
        first_token_ns = None if ttft_s is None else self._started_ns + round(ttft_s * 1e9)
        context = set_span_in_context(self._span)
        for name, start_ns, end_ns in (
            ("queue", self._started_ns, admitted_ns),
            ("prefill", admitted_ns, first_token_ns),
            ("decode", first_token_ns, ended_ns),
        ):
            if start_ns is not None and end_ns is not None:
                phase = self._tracer.start_span(name, context=context, start_time=start_ns)
                phase.end(end_time=max(start_ns, end_ns))


def _request_attributes(params: SamplingParams) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "gen_ai.request.max_tokens": params.max_tokens,
        "gen_ai.request.temperature": params.temperature,
        "gen_ai.request.top_p": params.top_p,
    }
    if params.top_k:
        attributes["gen_ai.request.top_k"] = params.top_k
    if params.seed is not None:
        attributes["gen_ai.request.seed"] = params.seed
    if params.presence_penalty:
        attributes["gen_ai.request.presence_penalty"] = params.presence_penalty
    if params.frequency_penalty:
        attributes["gen_ai.request.frequency_penalty"] = params.frequency_penalty
    return attributes


def _traces_address(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    path = parts.path.rstrip("/")
    if not path.endswith(_TRACES_PATH):
        path += _TRACES_PATH
    return urlunsplit(parts._replace(path=path))
