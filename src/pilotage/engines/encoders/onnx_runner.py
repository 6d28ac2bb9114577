"""Encoders that somebody exported to ONNX, on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pilotage.engines.encoders.files import EncoderFiles
from pilotage.engines.encoders.runner import Floats, answer_names, joined, padded
from pilotage.errors import ModelError, UsageError

_KNOWN: Final = frozenset({"input_ids", "attention_mask", "token_type_ids"})


class OnnxRunner:
    """Runs a ``model.onnx`` on CPU cores. See `runner.Runner`.

    Args:
        files: The model.
        threads: CPU threads.

    Attributes:
        inputs: Names of the graph's inputs.

    Raises:
        ModelError: ONNX Runtime cannot open the file, or it wants inputs that nobody here has.
        UsageError: ONNX Runtime is not installed.
    """

    def __init__(self, files: EncoderFiles, *, threads: int) -> None:
        try:
            import onnxruntime  # noqa: PLC0415  an extra
        except ImportError as error:
            raise UsageError(
                "the engine onnxruntime needs an extra that is not installed",
                where="model.engine",
                hint="Install it with: pip install 'pilotage[onnx]'",
            ) from error
        (path,) = files.weights
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), session_options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no common base of their own
            raise ModelError(
                f"ONNX Runtime cannot open it: {str(error)[:200]}", where=str(path)
            ) from error
        self.inputs = [given.name for given in self._session.get_inputs()]
        strange = sorted(set(self.inputs) - _KNOWN)
        if strange:
            raise ModelError(f"the graph wants {', '.join(strange)[:200]}", where=str(path))
        outputs = [output.name for output in self._session.get_outputs()]
        self._outputs = list(answer_names(outputs, files.task, where=str(path)))
        self._pad_id = files.pad_id
        self.max_len = files.longest
        self.name = f"onnxruntime {onnxruntime.__version__}"

    def width(self, tokens: int) -> int:
        """Shapes are free: no padding beyond the longest of a batch."""
        return tokens

    def run(self, sequences: Sequence[Sequence[int]], segments: Sequence[bytes]) -> Floats:
        """Run a batch; see `runner.Runner.run`."""
        batch = padded(sequences, segments, pad_id=self._pad_id)
        answers = self._session.run(self._outputs, {name: batch[name] for name in self.inputs})
        return joined(answers)


def session_options(threads: int) -> Any:
    """How sessions are opened on CPU cores; ONNX Runtime is installed."""
    import onnxruntime  # noqa: PLC0415  an extra

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options
