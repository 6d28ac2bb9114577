"""Traces: one span a request, sent to an OpenTelemetry collector if there is one.

This module knows OpenTelemetry by its environment variables only; what imports it is
`pilotage.serve.telemetry.otlp`, and only once there is a collector to send to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Protocol

from pilotage.engines.engine import SamplingParams
from pilotage.errors import UsageError
from pilotage.serve.telemetry.request_record import Operation, RequestRecord

SHUTDOWN_TIMEOUT_S = 5.0

_ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class RequestSpan(Protocol):
    """The span of one request that is being answered."""

    @property
    def trace_id(self) -> str | None:
        """Its trace, 32 hexadecimal digits; ``None`` if the request is not traced."""

    def finish(
        self,
        record: RequestRecord,
        *,
        finish_reasons: Sequence[str] = (),
        queue_s: float | None = None,
    ) -> None:
        """End it, once, whatever happened.

        Args:
            record: The request as it ended; its ``reason`` makes the span an error.
            finish_reasons: Why each choice ended.
            queue_s: From the span's start until a worker took the request, seconds, if known.
        """


class Tracer(Protocol):
    """Makes spans."""

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
    ) -> RequestSpan:
        """Begin the span of a request that has just arrived.

        Args:
            operation: What is generated.
            model: The served model's name.
            headers: The request's headers by lower-case name; a ``traceparent`` is continued.
            params: How it is sampled.
            request_id: As the client is told it.
            choices: Completions asked for (``n``).
            stream: Whether the answer is streamed.
        """

    def shutdown(self, timeout_s: float = SHUTDOWN_TIMEOUT_S) -> None:
        """Send what has not been sent; give up after ``timeout_s`` seconds."""


class NoTracer:
    """Traces nothing."""

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
    ) -> RequestSpan:
        """A span that is none."""
        return _NO_SPAN

    def shutdown(self, timeout_s: float = SHUTDOWN_TIMEOUT_S) -> None:
        """Nothing to send."""


class _NoSpan:
    trace_id: str | None = None

    def finish(
        self,
        record: RequestRecord,
        *,
        finish_reasons: Sequence[str] = (),
        queue_s: float | None = None,
    ) -> None:
        pass


_NO_SPAN = _NoSpan()


def open_tracer(endpoint: str | None, service_name: str) -> Tracer:
    """A tracer for the collector at ``endpoint``, or one that traces nothing if there is none.

    OpenTelemetry's own variables count: OTEL_EXPORTER_OTLP_ENDPOINT (and the one for traces
    only) where no endpoint is given, OTEL_SERVICE_NAME before ``service_name``,
    OTEL_SDK_DISABLED above all.

    Args:
        endpoint: The collector's address for OTLP over HTTP, with or without ``/v1/traces``.
        service_name: What the traces are filed under.

    Raises:
        UsageError: There is a collector, but the otel extra is not installed.
    """
    named_by = (
        "otlp_endpoint" if endpoint else next(filter(os.environ.get, _ENDPOINT_VARIABLES), "")
    )
    if not named_by or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return NoTracer()
    try:
        from pilotage.serve.telemetry.otlp import OtlpTracer  # noqa: PLC0415 - an extra
    except ImportError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise UsageError(
            "traces are asked for, but OpenTelemetry is not installed",
            where=named_by,
            hint="Install it: pip install 'pilotage[otel]'",
        ) from None
    return OtlpTracer(endpoint, os.environ.get("OTEL_SERVICE_NAME") or service_name)
