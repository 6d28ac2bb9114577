"""Spans as a collector receives them, over real HTTP; and nothing at all without a collector."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from pilotage import __version__
from pilotage.engines.engine import SamplingParams
from pilotage.errors import PilotageError
from pilotage.serve.telemetry.request_record import RequestRecord
from pilotage.serve.telemetry.tracing import NoTracer, open_tracer

PARAMS = SamplingParams(max_tokens=64, temperature=0.5, top_k=40, seed=7)
RECORD = RequestRecord(
    model="smollm2",
    endpoint="/v1/chat/completions",
    operation="chat",
    status=200,
    prompt_tokens=30,
    completion_tokens=9,
    ttft_s=0.05,
    duration_s=0.18,
)
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(ThreadingHTTPServer):
    """A collector that keeps what it is sent; ``answering`` cleared, it lets its clients wait."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _CollectorHandler)
        self.paths: list[str] = []
        self.requests: list[ExportTraceServiceRequest] = []
        self.answering = threading.Event()
        self.answering.set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def resource(self) -> dict:
        return attributes_of(self.requests[0].resource_spans[0].resource)

    @property
    def spans(self) -> dict[str, Span]:
        return {
            span.name: span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }


class _CollectorHandler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.answering.wait(20)
        self.server.paths.append(self.path)
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector():
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.answering.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def no_ambient_variables(monkeypatch):
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


def attributes_of(holder) -> dict:
    return {one.key: plain(one.value) for one in holder.attributes}


def plain(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(one) for one in value.array_value.values]
    return getattr(value, kind)


def start(tracer, headers=None, **changes):
    fields = {"headers": headers or {}, "params": PARAMS, "request_id": "req-1"}
    return tracer.start("chat", "smollm2", **(fields | changes))


def test_a_request_is_one_server_span_with_gen_ai_attributes(collector):
    tracer = open_tracer(collector.address, "receipts")
    span = start(tracer, choices=2, stream=True)
    span.finish(RECORD, finish_reasons=["stop", "length"])
    tracer.shutdown()

    assert collector.paths == ["/v1/traces"]
    assert collector.resource["service.name"] == "receipts"
    assert collector.resource["service.version"] == __version__
    sent = collector.spans["chat smollm2"]
    assert sent.kind == Span.SPAN_KIND_SERVER
    assert sent.parent_span_id == b""
    assert sent.trace_id.hex() == span.trace_id
    assert sent.status.code == Status.STATUS_CODE_UNSET
    assert attributes_of(sent) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "pilotage",
        "gen_ai.request.model": "smollm2",
        "gen_ai.request.stream": True,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.max_tokens": 64,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.top_k": 40,
        "gen_ai.request.seed": 7,
        "gen_ai.response.id": "req-1",
        "gen_ai.response.model": "smollm2",
        "gen_ai.response.finish_reasons": ["stop", "length"],
        "gen_ai.response.time_to_first_chunk": 0.05,
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 9,
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
    }


def test_the_callers_trace_is_continued(collector):
    tracer = open_tracer(collector.address, "pilotage")
    span = start(tracer, {"traceparent": f"00-{TRACE}-{PARENT}-01"})
    assert span.trace_id == TRACE
    span.finish(RECORD)
    tracer.shutdown()
    sent = collector.spans["chat smollm2"]
    assert (sent.trace_id.hex(), sent.parent_span_id.hex()) == (TRACE, PARENT)


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{'0' * 32}-{PARENT}-01", "x" * 100_000])
def test_a_broken_traceparent_begins_a_new_trace(collector, header):
    tracer = open_tracer(collector.address, "pilotage")
    start(tracer, {"traceparent": header}).finish(RECORD)
    tracer.shutdown()
    assert collector.spans["chat smollm2"].parent_span_id == b""


def test_a_caller_that_is_not_sampled_is_not_traced(collector):
    tracer = open_tracer(collector.address, "pilotage")
    span = start(tracer, {"traceparent": f"00-{TRACE}-{PARENT}-00"})
    assert span.trace_id is None
    span.finish(RECORD, queue_s=0.01)
    tracer.shutdown()
    assert collector.requests == []


def test_queue_prefill_and_decode_are_children(collector):
    tracer = open_tracer(collector.address, "pilotage")
    span = start(tracer)
    time.sleep(0.06)
    span.finish(RECORD, queue_s=0.02)
    tracer.shutdown()
    spans = collector.spans
    whole = spans.pop("chat smollm2")
    assert set(spans) == {"queue", "prefill", "decode"}
    assert {one.parent_span_id for one in spans.values()} == {whole.span_id}
    begin = whole.start_time_unix_nano
    assert spans["queue"].start_time_unix_nano == begin
    assert spans["queue"].end_time_unix_nano == begin + 20_000_000
    assert spans["prefill"].start_time_unix_nano == begin + 20_000_000
    assert spans["prefill"].end_time_unix_nano == begin + 50_000_000
    assert spans["decode"].start_time_unix_nano == begin + 50_000_000
    assert spans["decode"].end_time_unix_nano == whole.end_time_unix_nano


def test_a_failure_is_an_error_with_its_type(collector):
    tracer = open_tracer(collector.address, "pilotage")
    failed = RequestRecord(
        model="smollm2", endpoint="/v1/completions", status=503, duration_s=1, reason="worker_lost"
    )
    start(tracer).finish(failed)
    tracer.shutdown()
    sent = collector.spans["chat smollm2"]
    assert sent.status.code == Status.STATUS_CODE_ERROR
    assert attributes_of(sent)["error.type"] == "worker_lost"
    assert attributes_of(sent)["http.response.status_code"] == 503


@pytest.mark.parametrize(
    ("ending", "path"),
    [("/", "/v1/traces"), ("/v1/traces", "/v1/traces"), ("/otlp/", "/otlp/v1/traces")],
)
def test_the_address_may_name_the_path_or_not(collector, ending, path):
    tracer = open_tracer(collector.address + ending, "pilotage")
    start(tracer).finish(RECORD)
    tracer.shutdown()
    assert collector.paths == [path]


def test_the_environment_can_name_the_collector_and_the_service(collector, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-environment")
    tracer = open_tracer(None, "pilotage")
    start(tracer).finish(RECORD)
    tracer.shutdown()
    assert collector.paths == ["/v1/traces"]
    assert collector.resource["service.name"] == "from-environment"


def test_a_collector_that_hangs_delays_the_end_by_its_bound_only(collector):
    collector.answering.clear()
    tracer = open_tracer(collector.address, "pilotage")
    begin = time.monotonic()
    start(tracer).finish(RECORD)
    assert time.monotonic() - begin < 0.25
    tracer.shutdown(timeout_s=0.3)
    assert 0.25 < time.monotonic() - begin < 2


def test_without_a_collector_nothing_is_traced(monkeypatch):
    tracer = open_tracer(None, "pilotage")
    span = start(tracer)
    assert isinstance(tracer, NoTracer)
    assert span is start(tracer)
    assert span.trace_id is None
    span.finish(RECORD)
    tracer.shutdown()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert isinstance(open_tracer("http://127.0.0.1:9", "pilotage"), NoTracer)


def test_a_missing_extra_is_one_line_that_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "pilotage.serve.telemetry.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(PilotageError) as failure:
        open_tracer("http://127.0.0.1:4318", "pilotage")
    assert str(failure.value).splitlines() == [
        "otlp_endpoint: traces are asked for, but OpenTelemetry is not installed. "
        "Install it: pip install 'pilotage[otel]'"
    ]


def test_opentelemetry_is_not_imported_without_a_collector():
    code = (
        "import sys; from pilotage.serve.telemetry import logs, metrics, tracing;"
        "tracing.open_tracer(None, 'pilotage').shutdown();"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    environment = {"PATH": ""}
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    )
