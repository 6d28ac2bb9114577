"""guidellm, from an environment of its own.

It starts ten worker processes by default, which on one core only cost; where it is asked how much
it can send, it is tried with one as well, and the better figure counts. Prompts come from a file
and tokens from the server's usage, so that it needs no tokenizer. Its performance extras are
installed.
"""

from __future__ import annotations

import json
import os

import msgspec

from bench.known_answers import MODEL
from bench.load_peers.tool import (
    Figures,
    Percentiles,
    Tool,
    Work,
    executable,
    folder,
    prompt,
    run_tool,
)
from bench.peers.peer import NotMeasurable, python_of

VERSION = "0.8.1"
_PROMPTS = 2000


class _Quantiles(msgspec.Struct):
    p50: float
    p90: float
    p99: float


class _Summary(msgspec.Struct):
    percentiles: _Quantiles | None = None


class _ByStatus(msgspec.Struct):
    successful: _Summary | None = None


class _Metrics(msgspec.Struct):
    request_latency: _ByStatus
    request_scheduled_latency: _ByStatus | None = None


class _State(msgspec.Struct):
    errored_requests: int = 0


class _Benchmark(msgspec.Struct):
    metrics: _Metrics
    scheduler_state: _State


class _Report(msgspec.Struct):
    benchmarks: list[_Benchmark]


def ready() -> None:
    """See `Tool`."""
    python_of(".venv-guidellm", "bench-loadgen-env")


def measure(base: str, work: Work, variant: str = "default") -> Figures:
    """See `Tool`."""
    here = folder("guidellm")
    prompts, out = here / "prompts.jsonl", here / "report.json"
    prompts.write_text("".join(f"{json.dumps({'prompt': prompt(n)})}\n" for n in range(_PROMPTS)))
    out.unlink(missing_ok=True)
    if work.kind == "closed":
        profile = f"kind=concurrent,streams={work.concurrency}"
        until = f"kind=max_duration,seconds={work.duration_s:g}"
    else:
        profile = f"kind={work.kind},rate={work.rate:g}"
        until = f"kind=max_requests,count={work.requests}"
    run_tool(
        "guidellm",
        [
            *(executable(".venv-guidellm", "guidellm"), "run"),
            *("--backend", f"kind=openai_http,target={base},model={MODEL}"),
            *("--profile", profile, "--constraint", until),
            *("--data", f"kind=json_file,path={prompts}"),
            # The report without every request's text: writing it is none of the sender's work.
            *("--metrics", "kind=generative,sample_size=0"),
            *("--output", f"kind=json,path={out}", "--disable-console"),
        ],
        cpus=work.cpus,
        environment={"HF_HUB_OFFLINE": "1"}
        | ({"GUIDELLM__MAX_WORKER_PROCESSES": "1"} if variant == "1 worker" else {}),
        timeout_s=work.duration_s * 2 + 150,
    )
    if not out.exists():
        raise NotMeasurable(f"guidellm wrote no report; see {os.fspath(here)}")
    report = msgspec.json.decode(out.read_bytes(), type=_Report).benchmarks[0]
    latency = _percentiles(report.metrics.request_latency)
    if latency is None:
        raise NotMeasurable("guidellm completed no request")
    return Figures(
        latency=latency,
        from_schedule=_percentiles(report.metrics.request_scheduled_latency),
        failed=report.scheduler_state.errored_requests,
    )


def _percentiles(found: _ByStatus | None) -> Percentiles | None:
    if found is None or found.successful is None or found.successful.percentiles is None:
        return None
    values = found.successful.percentiles
    return Percentiles(values.p50, values.p90, values.p99)


TOOL = Tool(
    "guidellm",
    f"guidellm {VERSION}",
    ready,
    measure,
    variants=("1 worker", "default"),
    note="ten worker processes by default; its rate is the better one of ten and of one",
)
