"""Fixed shapes on CPUs, by OpenVINO.

What an artifact stores is OpenVINO's IR, once, with free shapes; each bucket is compiled from it
when the artifact is loaded. The other way, a blob a bucket by ``export_model``, was measured and
left (2026.4.1, all-MiniLM-L6-v2, one thread): ``import_model`` took 0.66 s where compiling took
0.66 to 0.78 s, every blob held the weights again (86 MB a bucket against 91 MB for all), and it
runs on nothing but the version and the kind of CPU that made it. ``CACHE_DIR`` keeps such blobs
and would buy as little. So an artifact moves from machine to machine, and the manifest says on
which one it was checked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from pilotage.engines.compiled.manifest import Operators, Target
from pilotage.engines.compiled.static_runner import Network
from pilotage.engines.compiled.target import Built
from pilotage.engines.config import EngineName
from pilotage.engines.encoders.files import EncoderFiles
from pilotage.engines.encoders.openvino_runner import OpenVinoRunner, cpu_properties, read_graph
from pilotage.engines.encoders.runner import Floats, Runner, answer_names, joined
from pilotage.errors import ModelError, UsageError

IR: Final = "openvino_model.xml"

_PRECISIONS: Final = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoNetwork:
    """A graph compiled for one shape. See `static_runner.Network`."""

    def __init__(self, compiled: Any, files: EncoderFiles) -> None:
        self._request = compiled.create_infer_request()
        self._inputs = [port.any_name for port in compiled.inputs]
        outputs = {name: port for port in compiled.outputs for name in port.names}
        names = answer_names(list(outputs), files.task, where=str(files.folder))
        self._outputs = [outputs[name] for name in names]

    def infer(self, batch: Mapping[str, NDArray[np.int64]]) -> Floats:
        """Run a full batch."""
        answers = self._request.infer({name: batch[name] for name in self._inputs})
        return joined([answers[port] for port in self._outputs])


class OpenVinoCompiler:
    """See `target.Compiler`.

    Args:
        files: The model.
        dtype: What to compute in; "auto" is fp32.
        threads: CPU threads.

    Raises:
        UsageError: This CPU does not compute in that format, and OpenVINO would silently take
            another.
        ModelError: The files cannot be used.
    """

    target: Target = "cpu"
    engine: EngineName = "openvino"

    def __init__(self, files: EncoderFiles, *, dtype: str, threads: int) -> None:
        self.dtype = "fp32" if dtype == "auto" else dtype
        if self.dtype not in _PRECISIONS:
            raise UsageError(
                f"OpenVINO does not compute encoders in {dtype} on a CPU",
                where="--dtype",
                hint=f"Use {' or '.join(_PRECISIONS)}",
            )
        core = ov.Core()
        abilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.device = f"{core.get_property('CPU', 'FULL_DEVICE_NAME')} ({' '.join(abilities)})"
        if self.dtype == "bf16" and "BF16" not in abilities:
            raise UsageError(
                "this CPU does not compute in bf16",
                where="--dtype",
                hint="Use fp32; or compile where the artifact will run",
            )
        self._files = files
        self._threads = threads
        self._model = read_graph(files)
        self.inputs = tuple(port.any_name for port in self._model.inputs)
        self.name = f"openvino {ov.get_version().split('-')[0]}"
        self.flags = tuple(
            f"{key}={value}"
            for key, value in cpu_properties(1, _PRECISIONS[self.dtype]).items()
            if key != "INFERENCE_NUM_THREADS"
        )

    def prepare(self, folder: Path) -> None:
        """Write the IR, weights as they are computed with."""
        ov.save_model(self._model, folder / IR, compress_to_fp16=False)

    def build(self, length: int, batch: int, folder: Path) -> Built:
        """Compile the graph for one shape."""
        compiled = _compiled(
            self._model, (batch, length), _PRECISIONS[self.dtype], self._threads, where=str(folder)
        )
        return Built(OpenVinoNetwork(compiled, self._files), _operators(compiled))

    def reference(self) -> tuple[Runner, str]:
        """The same graph with free shapes, in float32."""
        runner = OpenVinoRunner(
            self._model.clone(), self._files, threads=self._threads, precision="f32"
        )
        return runner, f"{self.name}, free shapes, fp32"

    def memory_bytes(self, folder: Path, shapes: list[tuple[int, int]]) -> int:
        """The IR once, and for each network its matrices packed anew, and its activations.

        Embedding tables are read where they are. Seen: 52 MB a network of MiniLM, of which its
        matrices are 43.
        """
        of = self._files
        weights = (folder / IR).with_suffix(".bin").stat().st_size
        packed = max(weights - 4 * of.vocab_size * of.hidden, 0)
        activations = sum(
            4 * batch * length * (16 * of.hidden + length * of.heads) for length, batch in shapes
        )
        return _RUNTIME_BYTES + weights + packed * len(shapes) + activations


_RUNTIME_BYTES: Final = 150 << 20


def open_networks(
    folder: Path, files: EncoderFiles, shapes: list[tuple[int, int]], dtype: str, threads: int
) -> dict[tuple[int, int], Network]:
    """Compile an artifact's IR for its shapes (length, batch).

    Raises:
        ModelError: OpenVINO cannot read or compile it.
    """
    try:
        model = ov.Core().read_model(folder / IR)
    except RuntimeError as error:
        raise ModelError(
            f"OpenVINO cannot read it: {str(error).splitlines()[-1][:200]}", where=str(folder / IR)
        ) from error
    return {
        (length, batch): OpenVinoNetwork(
            _compiled(model, (batch, length), _PRECISIONS[dtype], threads, where=str(folder)), files
        )
        for length, batch in shapes
    }


def _compiled(
    model: Any, shape: tuple[int, int], precision: str, threads: int, *, where: str
) -> Any:
    fixed = model.clone()
    try:
        fixed.reshape({port.any_name: list(shape) for port in fixed.inputs})
        return ov.Core().compile_model(fixed, "CPU", cpu_properties(threads, precision))
    except RuntimeError as error:
        raise ModelError(
            f"OpenVINO cannot compile it for {shape[0]} x {shape[1]} tokens: "
            f"{str(error).splitlines()[-1][:200]}",
            where=where,
        ) from error


def _operators(compiled: Any) -> Operators:
    """The nodes of the graph that the plugin runs: by a kernel of its own, or by reference code.

    Names of kernels begin with ``ref`` for the latter (OpenVINO's CPU plugin, ``primitiveType``).
    Constants, inputs and outputs compute nothing.
    """
    kinds: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ops():
        facts = node.get_rt_info()
        kind, kernel = str(facts["layerType"].value), str(facts["primitiveType"].value)
        if kind in ("Const", "Input", "Output"):
            continue
        kinds[kind] += 1
        if kernel.startswith("ref"):
            left[f"{kind} ({kernel})"] += 1
    return Operators(
        total=kinds.total(),
        taken=kinds.total() - left.total(),
        kinds=dict(sorted(kinds.items())),
        left=dict(sorted(left.items())),
    )
