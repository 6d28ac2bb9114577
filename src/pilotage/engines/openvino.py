"""OpenVINO GenAI's continuous batching behind the engine interface.

Facts of the library that shape this file (2026.4, each measured here):

- ``step()`` keeps Python's interpreter lock, so nothing else in the process runs meanwhile: a
  worker is a single thread, and text is made into tokens elsewhere.
- An exception in ``step()`` leaves every running request unusable; it is raised here as
  `EngineFailure` and the worker is replaced.
- The log-probability of a token is that of the model itself: before temperature, penalties and
  the grammar of a JSON schema.
- Its GGUF reader trusts the file: a truncated one can crash the process. So `inspect_model` looks
  at the header, and at the file's length, before a worker is started.
- A seed makes a request reproducible when it runs alone; in a batch the generator is shared.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import openvino as ov
import openvino_genai as ov_genai

from pilotage.engines.engine import (
    EngineInfo,
    EngineOutput,
    EngineRequest,
    FinishReason,
    SamplingParams,
)
from pilotage.engines.memory import BLOCK_TOKENS, MemoryPlan
from pilotage.errors import ModelError, ResourceError, UnsupportedModelError

DEFAULT_BATCHED_TOKENS: Final = 512
"""Tokens a step may process: a quarter of a second of prefill on two cores, so that running
streams never wait long for somebody else's prompt."""

_GREEDY_BELOW: Final = 1e-4
_WARM_UP_TOKENS: Final = 256
_SHORT_PROMPT: Final = 16


class EngineFailure(Exception):
    """The engine broke in the middle of a step; every request in it is lost."""


@dataclass(slots=True)
class _Running:
    handle: Any
    stop_ids: frozenset[int]
    logprobs: bool
    cancelled: bool = False


class OpenVinoEngine:
    """A model on this process's CPU cores. See `pilotage.engines.engine.Engine`."""

    def __init__(self, pipeline: Any, info: EngineInfo) -> None:
        self._pipeline = pipeline
        self._running: dict[int, _Running] = {}
        self.info = info

    @classmethod
    def open(
        cls,
        path: Path,
        plan: MemoryPlan,
        *,
        threads: int,
        cache: Path | None,
        max_num_batched_tokens: int | None = None,
        prefix_caching: bool = True,
    ) -> OpenVinoEngine:
        """Load the model, run it once, and measure its prefill rate.

        Args:
            path: A GGUF file or an OpenVINO folder.
            plan: KV cache and batch limits.
            threads: CPU threads.
            cache: Folder in which a GGUF's converted form is kept, which makes the next start
                faster; None keeps nothing.
            max_num_batched_tokens: Tokens a step may process.
            prefix_caching: Keep the KV cache of prompt beginnings.

        Raises:
            ModelError: The files cannot be read.
            UnsupportedModelError: They hold something this engine does not know.
            ResourceError: Memory ran out.
        """
        began = time.monotonic()
        batched = max_num_batched_tokens or DEFAULT_BATCHED_TOKENS
        scheduler = ov_genai.SchedulerConfig()
        scheduler.num_kv_blocks = plan.kv_blocks
        scheduler.max_num_seqs = plan.max_num_seqs
        scheduler.max_num_batched_tokens = batched
        scheduler.dynamic_split_fuse = True
        scheduler.enable_prefix_caching = prefix_caching
        pipeline = _open_pipeline(path, scheduler, threads, cache)
        rate = _warm_up(pipeline, plan, batched)
        info = EngineInfo(
            engine=f"openvino-genai {ov_genai.get_version().split('-')[0]}",
            max_model_len=plan.max_model_len,
            max_num_seqs=plan.max_num_seqs,
            max_num_batched_tokens=batched,
            kv_cache_tokens=plan.kv_tokens,
            kv_cache_bytes=pipeline.get_metrics().cache_size_in_bytes,
            prefill_tokens_per_s=rate,
            load_s=time.monotonic() - began,
        )
        return cls(pipeline, info)

    @property
    def busy(self) -> bool:
        """Whether a step has something to do."""
        return bool(self._running)

    def submit(self, request: EngineRequest) -> None:
        """Take a request; raises ValueError when the engine refuses its parameters."""
        try:
            config = _generation_config(request.params)
            tokens = ov.Tensor(np.array([request.prompt_ids], dtype=np.int64))
            handle = self._pipeline.add_request(request.id, tokens, config)
        except (RuntimeError, TypeError) as error:
            raise ValueError(_reason(error)) from error
        stop_ids = () if request.params.ignore_eos else request.params.stop_token_ids
        self._running[request.id] = _Running(handle, frozenset(stop_ids), request.params.logprobs)

    def cancel(self, request_id: int) -> None:
        """Stop a request; the next step lets go of it and reports it."""
        if running := self._running.get(request_id):
            running.handle.cancel()
            running.cancelled = True

    def step(self) -> list[EngineOutput]:
        """One iteration of every running request."""
        if self._pipeline.has_non_finished_requests():
            try:
                self._pipeline.step()
            except RuntimeError as error:
                raise EngineFailure(_reason(error)) from error
        outputs = []
        for request_id, running in list(self._running.items()):
            output = _read(request_id, running)
            if output is None:
                continue
            outputs.append(output)
            if output.finish_reason is not None:
                del self._running[request_id]
        return outputs

    def kv_cache_usage(self) -> float:
        """Share of the KV cache in use; blocks kept for prefix caching count as free."""
        return float(self._pipeline.get_metrics().cache_usage) / 100.0


def _read(request_id: int, running: _Running) -> EngineOutput | None:
    """What is new for one request, or None."""
    handle = running.handle
    if running.cancelled:
        return EngineOutput(request_id, [], None, "cancelled")
    tokens: list[int] = []
    logprobs: list[float] = []
    finish: FinishReason | None = None
    while handle.can_read():
        for piece in handle.read().values():
            tokens.extend(piece.generated_ids)
            logprobs.extend(piece.generated_log_probs)
            if piece.finish_reason == ov_genai.GenerationFinishReason.STOP:
                finish = "stop"
            elif piece.finish_reason == ov_genai.GenerationFinishReason.LENGTH:
                finish = "length"
    status = handle.get_status()
    if finish is None and status == ov_genai.GenerationStatus.IGNORED:
        return EngineOutput(
            request_id, tokens, None, "error", "the KV cache has no room for this request"
        )
    if finish is None and not tokens:
        return None
    if finish == "stop" and tokens and tokens[-1] in running.stop_ids:
        tokens.pop()
        logprobs = logprobs[: len(tokens)]
    return EngineOutput(request_id, tokens, logprobs if running.logprobs else None, finish)


def _generation_config(params: SamplingParams) -> Any:
    config = ov_genai.GenerationConfig()
    config.max_new_tokens = params.max_tokens
    config.min_new_tokens = params.min_tokens
    config.ignore_eos = params.ignore_eos
    config.stop_token_ids = set(params.stop_token_ids)
    config.presence_penalty = params.presence_penalty
    config.frequency_penalty = params.frequency_penalty
    config.repetition_penalty = params.repetition_penalty
    config.logprobs = int(params.logprobs)
    if params.temperature >= _GREEDY_BELOW:
        config.do_sample = True
        config.temperature = params.temperature
        config.top_p = params.top_p
        config.min_p = params.min_p
        if params.top_k:
            config.top_k = params.top_k
        config.rng_seed = secrets.randbits(63) if params.seed is None else params.seed
    if params.json_schema is not None:
        structured = ov_genai.StructuredOutputConfig()
        structured.json_schema = params.json_schema
        config.structured_output_config = structured
    config.validate()
    return config


def _open_pipeline(path: Path, scheduler: Any, threads: int, cache: Path | None) -> Any:
    properties: dict[str, object] = {"INFERENCE_NUM_THREADS": threads}
    try:
        if path.is_dir() or cache is None:
            return ov_genai.ContinuousBatchingPipeline(str(path), scheduler, "CPU", properties)
        converted = cache / _cache_key(path)
        if (converted / "openvino_model.xml").is_file():
            return ov_genai.ContinuousBatchingPipeline(str(converted), scheduler, "CPU", properties)
        return _convert_and_open(path, converted, scheduler, properties)
    except RuntimeError as error:
        raise _explained(error, path) from error
    except MemoryError as error:
        raise ResourceError(
            "memory ran out while the model was loaded",
            where=str(path),
            hint="Lower --kv-cache, --max-model-len or --workers",
        ) from error


def _cache_key(path: Path) -> str:
    """Names the converted form: this file, as it is now, by this version of the library."""
    stat = path.stat()
    version = ov_genai.get_version().split("-")[0]
    return f"{path.stem}-{stat.st_size:x}-{stat.st_mtime_ns:x}-openvino-{version}"


def _convert_and_open(
    path: Path, converted: Path, scheduler: Any, properties: dict[str, object]
) -> Any:
    """Open a GGUF and keep its OpenVINO form, whole or not at all."""
    staging = converted.with_name(f".{converted.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        staging.mkdir(parents=True)
        (staging / "model.gguf").symlink_to(path.absolute())
    except OSError:  # a cache that cannot be written costs the next start some seconds, no more
        return ov_genai.ContinuousBatchingPipeline(str(path), scheduler, "CPU", properties)
    try:
        keep = {"enable_save_ov_model": True}
        pipeline = ov_genai.ContinuousBatchingPipeline(
            str(staging / "model.gguf"), scheduler, "CPU", {**properties, **keep}, keep
        )
        (staging / "model.gguf").unlink()
        with suppress(OSError):  # another worker was first; its folder is as good
            staging.rename(converted)
        return pipeline
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _warm_up(pipeline: Any, plan: MemoryPlan, batched: int) -> float:
    """Run the model as requests will, and return its prefill rate in tokens per second.

    The first pass, a short prompt and some tokens of its completion, makes the library compile
    its kernels: once for the first shape it sees, and once more, for any shape, when it sees the
    second (0.4 s each for the embedded model). Without the short one a client's first request
    would be the second shape. The rate is the best of the passes after it. Tokens are drawn at
    random so that no pass finds another's prefix cached.
    """
    count = max(1, min(_WARM_UP_TOKENS, batched, plan.max_model_len - 2))
    draw = np.random.default_rng(0)
    seconds = []
    for length, new_tokens in ((min(_SHORT_PROMPT, count), 4), (count, 1), (count, 1)):
        config = ov_genai.GenerationConfig()
        config.max_new_tokens = new_tokens
        config.ignore_eos = True
        tokens = ov.Tensor(draw.integers(3, 1000, size=(1, length), dtype=np.int64))
        handle = pipeline.add_request(0, tokens, config)
        began = time.perf_counter()
        while pipeline.has_non_finished_requests():
            pipeline.step()
        seconds.append(time.perf_counter() - began)
        if handle.get_status() == ov_genai.GenerationStatus.IGNORED:
            raise ResourceError(
                f"the KV cache of {plan.kv_blocks * BLOCK_TOKENS:,} tokens has no room for a "
                f"prompt of {length}",
                hint="Raise --kv-cache",
            )
    return count / min(seconds[1:])


def _explained(error: RuntimeError, path: Path) -> ModelError | ResourceError:
    reason = _reason(error)
    if "bad_alloc" in reason or "allocate" in reason.lower():
        return ResourceError(
            "memory ran out while the model was loaded",
            where=str(path),
            hint="Lower --kv-cache, --max-model-len or --workers",
        )
    if "gguf_tensor_to_f16" in reason or "architecture" in reason.lower():
        return UnsupportedModelError(
            f"the openvino engine cannot read this file ({reason})",
            where=str(path),
            hint="The engine llamacpp could",
        )
    return ModelError(
        f"the openvino engine could not load it ({reason})",
        where=str(path),
        hint="The file may be damaged: fetch it again",
    )


def _reason(error: BaseException) -> str:
    """The one telling line of a C++ exception, without source paths of a build machine."""
    lines: Sequence[str] = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("Check ", "Exception from"))]
    line = (telling or lines or [type(error).__name__])[0]
    return line.split("Check failed:")[-1].strip()[:300]
