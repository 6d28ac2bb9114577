"""Dynamic batching of encoder requests behind the engine interface."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from pilotage.devices import DeviceSlice
from pilotage.engines.config import EngineConfig
from pilotage.engines.encoders.batching import next_batch
from pilotage.engines.encoders.files import DEFAULT_BATCHED_TOKENS, EncoderFiles
from pilotage.engines.encoders.pooled import pooled, scaled
from pilotage.engines.encoders.runner import Floats, Runner
from pilotage.engines.engine import EngineInfo, EngineOutput, EngineRequest, Tensor
from pilotage.errors import UsageError

DEFAULT_SEQS: Final = 256
"""Requests that wait in the engine at most, so that batches of like lengths can be made."""

_WARM_UP_TOKENS: Final = (16, 256)

_STEP_S: Final = 0.5
"""How long a batch of the default size may take: on a slow or busy machine it is smaller, so that
steps stay short for those who wait and for the watchdog."""


class EncoderEngine:
    """An encoder on a device slice. See `pilotage.engines.engine.Engine`.

    Each step runs one batch of what waits. Whoever compiled the model, the batches are made and
    the answers read here.

    Args:
        runner: Runs batches.
        files: The model.
        max_model_len: Longest sequence; what the model is meant for by default.
        max_num_batched_tokens: Tokens of a batch; chosen by the measured rate if not given.
        max_num_seqs: Requests held at once.
        began: When opening began, on `time.monotonic`'s clock.

    Raises:
        UsageError: `max_model_len` is more than the model has positions.
    """

    def __init__(
        self,
        runner: Runner,
        files: EncoderFiles,
        *,
        max_model_len: int | None = None,
        max_num_batched_tokens: int | None = None,
        max_num_seqs: int | None = None,
        began: float | None = None,
    ) -> None:
        began = time.monotonic() if began is None else began
        longest = max_model_len or min(files.advised, runner.max_len)
        if longest > runner.max_len:
            raise UsageError(
                f"the model reads at most {runner.max_len} tokens, not {longest}",
                where="model.max_model_len",
            )
        self._runner = runner
        self._task = files.task
        self._pooling = files.pooling
        self._batched_tokens = max(max_num_batched_tokens or DEFAULT_BATCHED_TOKENS, longest)
        self._waiting: dict[int, EngineRequest] = {}
        self._cancelled: list[int] = []
        rate = self._warm_up(longest, files.vocab_size)
        if max_num_batched_tokens is None:
            self._batched_tokens = max(longest, min(self._batched_tokens, int(rate * _STEP_S)))
        self.info = EngineInfo(
            engine=runner.name,
            max_model_len=longest,
            max_num_seqs=max_num_seqs or DEFAULT_SEQS,
            max_num_batched_tokens=self._batched_tokens,
            kv_cache_tokens=0,
            kv_cache_bytes=0,
            prefill_tokens_per_s=rate,
            load_s=time.monotonic() - began,
            task=files.task,
            encoder=files.traits,
        )

    @classmethod
    def open(cls, config: EngineConfig, device: DeviceSlice) -> EncoderEngine:
        """Load the model, run it once, and measure how fast it reads.

        Raises:
            ModelError: The files cannot be used.
            ResourceError: Memory ran out.
            UsageError: A number format or length that cannot be, or ONNX Runtime is missing.
        """
        began = time.monotonic()
        task = "auto" if config.task == "generate" else config.task
        files = EncoderFiles.of_folder(Path(config.path), task)
        return cls(
            _runner(config, files, device.threads),
            files,
            max_model_len=config.max_model_len,
            max_num_batched_tokens=config.max_num_batched_tokens,
            max_num_seqs=config.max_num_seqs,
            began=began,
        )

    @property
    def busy(self) -> bool:
        """Whether a step has something to do."""
        return bool(self._waiting or self._cancelled)

    def submit(self, request: EngineRequest) -> None:
        """Take a request; raises ValueError when the model cannot read it."""
        tokens = len(request.prompt_ids)
        if not 0 < tokens <= self.info.max_model_len:
            raise ValueError(f"{tokens} tokens; the model reads 1 to {self.info.max_model_len}")
        if request.segments and len(request.segments) != tokens:
            raise ValueError(f"{len(request.segments)} segments for {tokens} tokens")
        if request.segments and max(request.segments) > 1:
            raise ValueError("a segment is 0 or 1")
        self._waiting[request.id] = request

    def cancel(self, request_id: int) -> None:
        """Drop a request that waits; the next step reports it."""
        if self._waiting.pop(request_id, None) is not None:
            self._cancelled.append(request_id)

    def step(self) -> list[EngineOutput]:
        """Run one batch; the answers of its requests are whole."""
        outputs = [EngineOutput(gone, [], finish_reason="cancelled") for gone in self._cancelled]
        self._cancelled.clear()
        if not self._waiting:
            return outputs
        waiting = list(self._waiting.values())
        widths = [self._runner.width(len(request.prompt_ids)) for request in waiting]
        batch = [waiting[place] for place in next_batch(widths, self._batched_tokens)]
        answers = self._run(
            [request.prompt_ids for request in batch], [request.segments for request in batch]
        )
        for request, answer in zip(batch, answers, strict=True):
            del self._waiting[request.id]
            outputs.append(
                EngineOutput(request.id, [], finish_reason="stop", tensor=_tensor(answer))
            )
        return outputs

    def kv_cache_usage(self) -> float:
        """0: an encoder keeps nothing between steps."""
        return 0.0

    def _run(self, sequences: Sequence[Sequence[int]], segments: Sequence[bytes]) -> list[Floats]:
        answers = self._runner.run(sequences, segments)
        return [
            self._answer(answer, len(sequence))
            for answer, sequence in zip(answers, sequences, strict=False)
        ]

    def _answer(self, answer: Floats, tokens: int) -> Floats:
        """A request's own part of what the graph gave for its row."""
        if self._task == "classify":
            return answer
        if self._task == "question-answering":
            return answer[:tokens].T
        if answer.ndim == 1:  # the graph pools by itself
            return scaled(self._pooling, answer)
        return pooled(self._pooling, answer[:tokens])

    def _warm_up(self, longest: int, vocab_size: int) -> float:
        """Run a short and a full batch, and return the tokens a second of the full one.

        The first pass through each makes the library compile its kernels; the best of the two
        passes after it counts.
        """
        draw = np.random.default_rng(0)
        seconds = 0.0
        tokens = 0
        for wanted in _WARM_UP_TOKENS:
            length = min(wanted, longest)
            rows = max(1, self._batched_tokens // length) if wanted == _WARM_UP_TOKENS[-1] else 1
            ids = draw.integers(min(5, vocab_size - 1), vocab_size, (rows, length)).tolist()
            took = []
            for _ in range(3):
                began = time.perf_counter()
                self._run(ids, [b""] * rows)
                took.append(time.perf_counter() - began)
            seconds, tokens = min(took[1:]), rows * length
        return tokens / seconds


def _runner(config: EngineConfig, files: EncoderFiles, threads: int) -> Runner:
    if config.engine == "onnxruntime":
        from pilotage.engines.encoders.onnx_runner import OnnxRunner  # noqa: PLC0415  an extra

        if files.kind != "onnx":
            raise UsageError(
                f"the engine onnxruntime needs a model.onnx, and the folder holds {files.kind}",
                where="model.engine",
                hint="Use the engine openvino",
            )
        return OnnxRunner(files, threads=threads)
    from pilotage.engines.encoders.openvino_runner import OpenVinoRunner  # noqa: PLC0415  heavy

    return OpenVinoRunner.open(files, threads=threads, dtype=config.dtype)


def _tensor(answer: Floats) -> Tensor:
    values = np.ascontiguousarray(answer, dtype="<f4")
    return Tensor(values.shape, values.tobytes())
