"""Encoders on OpenVINO's CPU plugin, with free shapes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import openvino as ov

from pilotage.engines.encoders.bert import build_encoder
from pilotage.engines.encoders.files import EncoderFiles
from pilotage.engines.encoders.runner import Floats, answer_names, joined, padded
from pilotage.errors import ModelError, ResourceError, UsageError

_PRECISIONS: Final = {"auto": "f32", "fp32": "f32", "bf16": "bf16"}


class OpenVinoRunner:
    """Runs a graph that is compiled once, for all shapes. See `runner.Runner`.

    One stream with all threads (the latency hint): a request alone gets the whole slice, and a
    batch takes no longer than on one stream a thread (measured, `bench/encoders.py`).

    Args:
        model: The graph; inputs and outputs named as exporters name them.
        files: The model.
        threads: CPU threads.
        precision: ``f32`` or ``bf16``.

    Raises:
        ModelError: OpenVINO cannot compile it.
    """

    def __init__(self, model: Any, files: EncoderFiles, *, threads: int, precision: str) -> None:
        try:
            compiled = ov.Core().compile_model(model, "CPU", cpu_properties(threads, precision))
        except RuntimeError as error:
            raise ModelError(
                f"OpenVINO cannot compile it: {str(error).splitlines()[-1][:200]}",
                where=str(files.folder),
            ) from error
        self._request = compiled.create_infer_request()
        self._inputs = [port.any_name for port in compiled.inputs]
        outputs = {name: port for port in compiled.outputs for name in port.names}
        names = answer_names(list(outputs), files.task, where=str(files.folder))
        self._outputs = [outputs[name] for name in names]
        self._pad_id = files.pad_id
        self.max_len = files.longest
        self.name = f"openvino {ov.get_version().split('-')[0]}"

    @staticmethod
    def open(files: EncoderFiles, *, threads: int, dtype: str = "auto") -> OpenVinoRunner:
        """Build or read the model's graph, and compile it.

        Args:
            files: The model.
            threads: CPU threads.
            dtype: The spec's ``model.dtype``: what is computed in.

        Raises:
            ModelError: The files cannot be used.
            ResourceError: Memory ran out.
            UsageError: A number format that this engine does not compute in.
        """
        if dtype not in _PRECISIONS:
            raise UsageError(
                f"encoders are not computed in {dtype} on a CPU",
                where="model.dtype",
                hint=f"Use {', '.join(_PRECISIONS)}",
            )
        try:
            model = read_graph(files)
            return OpenVinoRunner(model, files, threads=threads, precision=_PRECISIONS[dtype])
        except MemoryError as error:
            raise ResourceError(
                "memory ran out while the model was loaded", where=str(files.folder)
            ) from error

    def width(self, tokens: int) -> int:
        """Shapes are free: no padding beyond the longest of a batch."""
        return tokens

    def run(self, sequences: Sequence[Sequence[int]], segments: Sequence[bytes]) -> Floats:
        """Run a batch; see `runner.Runner.run`."""
        batch = padded(sequences, segments, pad_id=self._pad_id)
        answers = self._request.infer({name: batch[name] for name in self._inputs})
        return joined([answers[port] for port in self._outputs])


def cpu_properties(threads: int, precision: str) -> dict[str, Any]:
    """How encoders are compiled for CPU cores: one stream on all of them."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
        "ENABLE_CPU_PINNING": False,  # the worker's process is pinned already
    }


def read_graph(files: EncoderFiles) -> Any:
    """The model's graph with free shapes: built from safetensors, or as somebody exported it."""
    if files.kind == "safetensors":
        return build_encoder(files.folder, files.task).model
    return _read(files.weights[0])


def _read(path: Path) -> Any:
    try:
        return ov.Core().read_model(path)
    except RuntimeError as error:
        raise ModelError(
            f"OpenVINO cannot read it: {str(error).splitlines()[-1][:200]}", where=str(path)
        ) from error
