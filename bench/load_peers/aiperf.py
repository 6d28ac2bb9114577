"""NVIDIA's aiperf, from an environment of its own.

Prompts come from a file and token counts from the server's usage. It wants a tokenizer all the
same, so it gets a folder with one of 256 bytes, and no offline mode, in which it takes a folder
for the name of a repository.
"""

from __future__ import annotations

import json
import shutil

import msgspec
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

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

VERSION = "0.13.0"
_PROMPTS = 2000


class _Summary(msgspec.Struct):
    p50: float
    p90: float
    p99: float


class _Count(msgspec.Struct):
    avg: float = 0.0


class _Report(msgspec.Struct):
    request_latency: _Summary
    effective_latency: _Summary | None = None
    error_request_count: _Count | None = None


def ready() -> None:
    """See `Tool`."""
    python_of(".venv-aiperf", "bench-loadgen-env")


def measure(base: str, work: Work, variant: str = "default") -> Figures:
    """See `Tool`."""
    here = folder("aiperf")
    prompts, out = here / "prompts.jsonl", here / "out"
    prompts.write_text("".join(f"{json.dumps({'text': prompt(n)})}\n" for n in range(_PROMPTS)))
    shutil.rmtree(out, ignore_errors=True)
    if work.kind == "closed":
        load: tuple[object, ...] = (
            *("--concurrency", work.concurrency, "--benchmark-duration", f"{work.duration_s:g}"),
            *("--benchmark-grace-period", "5"),
        )
    else:
        load = (
            *("--request-rate", f"{work.rate:g}", "--arrival-pattern", work.kind),
            *("--request-count", work.requests),
        )
    run_tool(
        "aiperf",
        [
            *(executable(".venv-aiperf", "aiperf"), "profile", "--model", MODEL, "--url", base),
            *("--endpoint-type", "chat", "--streaming", "--use-server-token-count"),
            *("--input-file", prompts, "--custom-dataset-type", "single_turn"),
            *("--tokenizer", _tokenizer(), "--artifact-dir", out, "--ui", "none"),
            *("--no-gpu-telemetry", "--no-server-metrics", "--random-seed", work.seed),
            *("--export-level", "summary", *load),
            *(() if variant == "default" else ("--workers-max", variant.split(maxsplit=1)[0])),
        ],
        cpus=work.cpus,
        environment={"AIPERF_HTTP_CONNECTION_LIMIT": "5000"},
        timeout_s=work.duration_s * 2 + 150,
    )
    written = out / "profile_export_aiperf.json"
    if not written.exists():
        raise NotMeasurable(f"aiperf wrote no {written}")
    report = msgspec.json.decode(written.read_bytes(), type=_Report)
    latency, errors = report.request_latency, report.error_request_count
    effective = report.effective_latency
    return Figures(
        latency=_percentiles(latency),
        from_schedule=None if effective is None else _percentiles(effective),
        failed=0 if errors is None else round(errors.avg),
    )


def _percentiles(found: _Summary) -> Percentiles:
    return Percentiles(found.p50 / 1000, found.p90 / 1000, found.p99 / 1000)


def _tokenizer() -> object:
    """A folder with a tokenizer whose tokens are bytes; nothing here counts tokens with it."""
    path = folder("tokenizer")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    # The constructor wants a vocabulary; no merges leave its letters.
    tokenizer = Tokenizer(models.BPE({letter: place for place, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(path / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 4096}
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    return path


TOOL = Tool("aiperf", f"aiperf {VERSION}", ready, measure, variants=("default", "4 workers"))
