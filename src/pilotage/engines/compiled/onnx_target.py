"""Fixed shapes on CPUs, by ONNX Runtime.

The artifact holds the model's own ``model.onnx``; each bucket is a session of it with its free
dimensions overridden, which lets the optimiser fold what depends on shapes. An optimised graph on
the disk would be tied to the version and the CPU, as ONNX Runtime's documentation warns.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pilotage.engines.compiled.manifest import Operators, Target
from pilotage.engines.compiled.static_runner import Network
from pilotage.engines.compiled.target import Built
from pilotage.engines.config import EngineName
from pilotage.engines.encoders.files import EncoderFiles
from pilotage.engines.encoders.onnx_runner import OnnxRunner, session_options
from pilotage.engines.encoders.runner import Floats, Runner, answer_names, joined
from pilotage.errors import ModelError, UsageError

ONNX: Final = "model.onnx"

_OURS: Final = "CPUExecutionProvider"
_RUNTIME_BYTES: Final = 100 << 20


class OnnxNetwork:
    """A session for one shape. See `static_runner.Network`."""

    def __init__(self, session: Any, files: EncoderFiles) -> None:
        self.session = session
        self._inputs = [given.name for given in session.get_inputs()]
        outputs = [output.name for output in session.get_outputs()]
        self._outputs = list(answer_names(outputs, files.task, where=str(files.folder)))

    def infer(self, batch: Mapping[str, NDArray[np.int64]]) -> Floats:
        """Run a full batch."""
        answers = self.session.run(self._outputs, {name: batch[name] for name in self._inputs})
        return joined(answers)


class OnnxCompiler:
    """See `target.Compiler`.

    Args:
        files: The model.
        dtype: What to compute in: what the file holds.
        threads: CPU threads.

    Raises:
        UsageError: ONNX Runtime is not installed, the model is none for it, or another number
            format is asked for.
        ModelError: It cannot open the file.
    """

    target: Target = "cpu"
    engine: EngineName = "onnxruntime"

    def __init__(self, files: EncoderFiles, *, dtype: str, threads: int) -> None:
        if files.kind != "onnx":
            raise UsageError(
                f"ONNX Runtime compiles a model.onnx, and the folder holds {files.kind}",
                where="--engine",
                hint="Use --engine openvino; or export the model (optimum-cli export onnx)",
            )
        if dtype not in ("auto", "fp32"):
            raise UsageError(
                "ONNX Runtime computes in the number format of the file",
                where="--dtype",
                hint="Leave it at auto; or export the model in that format",
            )
        self._reference = OnnxRunner(files, threads=threads)
        import onnxruntime  # noqa: PLC0415  an extra; its absence is an error above

        self._files = files
        self._threads = threads
        self.dtype = "fp32"
        self.name = self._reference.name
        self.flags = ("free dimensions overridden", "graph_optimization_level=ORT_ENABLE_ALL")
        self.device = f"CPU ({onnxruntime.get_device()})"
        self.inputs = tuple(self._reference.inputs)

    def prepare(self, folder: Path) -> None:
        """Copy the model's file, and its weights where they lie beside it."""
        (path,) = self._files.weights
        shutil.copyfile(path, folder / ONNX)
        beside = Path(f"{path}_data")
        if beside.is_file():
            shutil.copyfile(beside, folder / beside.name)

    def build(self, length: int, batch: int, folder: Path) -> Built:
        """Open the model for one shape, and run it once to see what became of its operators."""
        with tempfile.TemporaryDirectory() as scratch:
            profiled = OnnxNetwork(
                _session(folder / ONNX, (batch, length), 1, profile=Path(scratch) / "run"),
                self._files,
            )
            ones = np.ones((batch, length), np.int64)
            names = ("input_ids", "attention_mask", "token_type_ids")
            profiled.infer({name: ones if name != "token_type_ids" else ones * 0 for name in names})
            operators = _operators(Path(profiled.session.end_profiling()))
        session = _session(folder / ONNX, (batch, length), self._threads)
        return Built(OnnxNetwork(session, self._files), operators)

    def reference(self) -> tuple[Runner, str]:
        """The same file with free shapes."""
        return self._reference, f"{self.name}, free shapes"

    def memory_bytes(self, folder: Path, shapes: list[tuple[int, int]]) -> int:
        """Each session has the weights, and those of matrices packed anew."""
        size = sum(path.stat().st_size for path in folder.glob(f"{ONNX}*"))
        return _RUNTIME_BYTES + 2 * size * len(shapes)


def open_networks(
    folder: Path, files: EncoderFiles, shapes: list[tuple[int, int]], threads: int
) -> dict[tuple[int, int], Network]:
    """Open an artifact's model for its shapes (length, batch).

    Raises:
        UsageError: ONNX Runtime is not installed.
        ModelError: It cannot open the file.
    """
    return {
        (length, batch): OnnxNetwork(_session(folder / ONNX, (batch, length), threads), files)
        for length, batch in shapes
    }


def _session(path: Path, shape: tuple[int, int], threads: int, profile: Path | None = None) -> Any:
    try:
        import onnxruntime  # noqa: PLC0415  an extra
    except ImportError as error:
        raise UsageError(
            "the engine onnxruntime needs an extra that is not installed",
            where="model.engine",
            hint="Install it with: pip install 'pilotage[onnx]'",
        ) from error

    def opened(dimensions: Mapping[str, int]) -> Any:
        options = session_options(threads)
        for name, size in dimensions.items():
            options.add_free_dimension_override_by_name(name, size)
        if profile is not None and dimensions:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile)
        return onnxruntime.InferenceSession(str(path), options, providers=[_OURS])

    try:
        free = opened({}).get_inputs()
        names = {
            name: size
            for given in free
            for name, size in zip(given.shape, shape, strict=True)
            if isinstance(name, str)
        }
        session = opened(names)
    except Exception as error:  # its exceptions have no common base of their own
        raise ModelError(
            f"ONNX Runtime cannot open it for {shape[0]} x {shape[1]} tokens: {str(error)[:200]}",
            where=str(path),
        ) from error
    if any(list(given.shape) != list(shape) for given in session.get_inputs()):
        raise ModelError(
            f"the graph's inputs cannot be given the shape {shape[0]} x {shape[1]}",
            where=str(path),
            hint="Export it with free (dynamic) batch and sequence axes",
        )
    return session


def _operators(profile: Path) -> Operators:
    """The nodes that ran, by the provider that ran them, from ONNX Runtime's own profile."""
    kinds: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for event in json.loads(profile.read_bytes()):
        facts = event.get("args", {})
        if event.get("cat") == "Node" and str(event["name"]).endswith("_kernel_time"):
            kinds[facts["op_name"]] += 1
            if facts.get("provider") != _OURS:
                left[f"{facts['op_name']} ({facts.get('provider')})"] += 1
    return Operators(
        total=kinds.total(),
        taken=kinds.total() - left.total(),
        kinds=dict(sorted(kinds.items())),
        left=dict(sorted(left.items())),
    )
