"""Compiling for NeuronCores with a stand-in for the SDK: what it is asked, and what we make of it.

`StandIn` stands for ``torch_neuronx`` or ``torch_neuron``, which are to be had on AWS's images
only. It traces with plain torch, so that all before and after the compiler is real.
"""

import contextlib
import io
import json
import os
import pickle
import warnings
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from pilotage.catalog.neuron_chips import NEURON_CHIPS, chip_model  # noqa: E402
from pilotage.devices import DeviceSlice  # noqa: E402
from pilotage.engines.compiled import neuron_target  # noqa: E402
from pilotage.engines.compiled.compilation import Order, compile_artifact  # noqa: E402
from pilotage.engines.compiled.manifest import read_manifest  # noqa: E402
from pilotage.engines.compiled.neuron_advice import instance_types  # noqa: E402
from pilotage.engines.compiled.neuron_model import load_script, script_bytes  # noqa: E402
from pilotage.engines.compiled.neuron_sdk import chip_of_family, open_sdk  # noqa: E402
from pilotage.engines.compiled.neuron_target import NeuronCompiler  # noqa: E402
from pilotage.engines.config import EngineConfig  # noqa: E402
from pilotage.engines.encoders.files import EncoderFiles  # noqa: E402
from pilotage.engines.engine import EngineRequest, SamplingParams  # noqa: E402
from pilotage.engines.opening import open_engine  # noqa: E402
from pilotage.engines.registry import inspect_model  # noqa: E402
from pilotage.errors import ModelError, UsageError  # noqa: E402

# The SDK comes with a torch of its own, in which TorchScript is not deprecated yet; and tracing
# reads every property of a module, old ones of transformers too.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]

INF2, INF1 = chip_model("inf2"), chip_model("inf1")


class StandIn:
    """A module in the SDK's place that notes how it is called."""

    __version__ = "0.0-stand-in"

    def __init__(self):
        self.traced = []
        self.cores = []
        self.fails = None
        self.experimental = SimpleNamespace(neuron_cores_context=self._on_core)

    def trace(self, model, example, **options):
        self.traced.append((tuple(example[0].shape), len(example), options))
        if self.fails:
            raise RuntimeError(self.fails)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            return torch.jit.trace(model, example, check_trace=False)

    def analyze(self, model, example, **options):
        assert options == {"is_hf_transformers": True, "cleanup": True}
        return {"unsupported_operators": [{"kind": "aten::fft_fft", "failureAt": "neuronx-cc"}]}

    @contextlib.contextmanager
    def _on_core(self, *, start_nc, nc_count):
        assert nc_count == 1
        self.cores.append(start_nc)
        yield


@pytest.fixture
def sdk(monkeypatch):
    torch.set_num_threads(1)
    module = StandIn()
    monkeypatch.setitem(__import__("sys").modules, "torch_neuronx", module)
    monkeypatch.setitem(__import__("sys").modules, "torch_neuron", module)
    return module


@pytest.fixture
def chips(monkeypatch):
    """A machine with an Inferentia2, as far as the compiler asks."""
    found = [SimpleNamespace(version=2)]
    monkeypatch.setattr(neuron_target, "discover", lambda: SimpleNamespace(neuron=found))
    return found


def compiler(folder, chip=INF2, dtype="auto"):
    files = EncoderFiles.of_folder(folder)
    return files, NeuronCompiler(files, dtype=dtype, chip=chip, command="pilotage compile x")


def order(tmp_path, **changes):
    facts = {
        "source": "hf://a/b",
        "buckets": (8, 16),
        "batches": (1, 2),
        "output": tmp_path / "out",
    }
    return Order(**facts | changes)


def smallest(tmp_path, **changes):
    """An order of one network, for tests of what does not depend on shapes."""
    return order(tmp_path, buckets=(8,), batches=(1,), **changes)


def slice_of(*cores):
    return DeviceSlice(worker=0, kind="neuron", cores=(0,), devices=cores)


def opened(folder, device, task="embed"):
    config = EngineConfig(model="m", engine="neuron", task=task, path=str(folder), cache="/x")
    return open_engine(config, device)


def answers(engine, sequences):
    for number, ids in enumerate(sequences):
        engine.submit(EngineRequest(number, ids, SamplingParams(max_tokens=1)))
    found = {}
    while engine.busy:
        for one in engine.step():
            found[one.id] = np.frombuffer(one.tensor.data, "<f4").reshape(one.tensor.shape)
    return [found[number] for number in range(len(sequences))]


@pytest.mark.parametrize("task", ["embed", "question-answering", "classify"])
def test_from_a_model_to_answers(tiny, tmp_path, sdk, chips, task):
    folder = tiny(task)
    files, neuron = compiler(folder)
    manifest = compile_artifact(order(tmp_path), files, neuron)
    assert [shape for shape, _, _ in sdk.traced] == [(1, 8), (2, 8), (1, 16), (2, 16)]
    flags = ["--target=inf2", "--model-type=transformer", "--auto-cast=matmult"]
    assert all(
        options == {"compiler_args": [*flags, "--auto-cast-type=bf16"]} and inputs == 3
        for _, inputs, options in sdk.traced
    )
    assert (manifest.target, manifest.engine, manifest.dtype) == ("neuron", "neuron", "bf16")
    assert manifest.compiler == "torch-neuronx 0.0-stand-in"
    assert manifest.device == "Inferentia2 (inf2, NeuronCore-v2)"
    assert sum("networks/" in name for name in manifest.files) == 4
    for network in manifest.networks:
        assert network.parity.min_cosine > 0.9999
        assert network.parity.reference.startswith("torch")
        # Plain torch took nothing, and that is what is told.
        assert network.operators.taken == 0
        assert network.operators.left["aten::linear"] >= 12
    found = inspect_model(tmp_path / "out")
    assert (found.engine, found.task, found.shape.context_length) == ("neuron", task, 16)
    sequences = [[5, 6, 7], [8] * 16, [9], list(range(20, 32))]
    ours = answers(opened(tmp_path / "out", slice_of(0), task), sequences)
    config = EngineConfig(
        model="m", engine="openvino", task=task, path=str(folder), max_model_len=16, cache="/x"
    )
    theirs = answers(open_engine(config, DeviceSlice(worker=0, kind="cpu", cores=(0,))), sequences)
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(one - other).max() < 1e-4


def test_every_core_of_a_worker_has_a_copy(tiny, tmp_path, sdk, chips):
    files, neuron = compiler(tiny())
    compile_artifact(order(tmp_path, buckets=(16,), batches=(1,)), files, neuron)
    engine = opened(tmp_path / "out", slice_of(6, 7))
    assert sdk.cores == [0, 1]  # as this process sees them: the others are hidden from it
    assert engine.info.engine.endswith("2 copies")
    assert len(answers(engine, [[5] * n for n in range(1, 17)])) == 16


def test_no_device_to_check_on(tiny, tmp_path, sdk, monkeypatch):
    monkeypatch.setattr(neuron_target, "discover", lambda: SimpleNamespace(neuron=[]))
    files, neuron = compiler(tiny())
    with pytest.raises(UsageError, match=r"no device here to check.*--unchecked"):
        compile_artifact(smallest(tmp_path), files, neuron)
    assert not (tmp_path / "out").exists()
    manifest = compile_artifact(smallest(tmp_path, unchecked=True), files, neuron)
    assert sdk.traced[-1][2]["cpu_backend"] is True
    assert {network.parity for network in manifest.networks} == {None}


def test_inferentia_1_has_a_library_of_its_own(tiny, tmp_path, sdk, monkeypatch):
    found = [SimpleNamespace(version=1)]
    monkeypatch.setattr(neuron_target, "discover", lambda: SimpleNamespace(neuron=found))
    files, neuron = compiler(tiny(), INF1, dtype="fp32")
    manifest = compile_artifact(smallest(tmp_path), files, neuron)
    assert sdk.traced[0][2] == {"compiler_args": ["--fast-math", "none"]}
    assert manifest.compiler == "torch-neuron 0.0-stand-in"
    assert manifest.device == "Inferentia (inf1, NeuronCore-v1)"
    assert compiler(files.folder, INF1)[1].flags == (
        "--fast-math",
        "fp32-cast-matmult-bf16",
    )


def test_what_the_compiler_refuses_is_named(tiny, tmp_path, sdk, chips):
    sdk.fails = "Compilation failed with exit code 70"
    files, neuron = compiler(tiny())
    with pytest.raises(
        ModelError, match=r"exit code 70; operators it does not have: aten::fft_fft"
    ):
        compile_artifact(order(tmp_path), files, neuron)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny-embed"]


def test_only_our_own_bytes_are_loaded(tiny, tmp_path, sdk, chips):
    files, neuron = compiler(tiny())
    compile_artifact(smallest(tmp_path), files, neuron)
    path = tmp_path / "out" / "networks" / "8x1.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"8x1\.pt.*not the file that was compiled"):
        opened(tmp_path / "out", slice_of(0))


def test_torchscript_imports_nothing_that_a_file_names(tmp_path):
    """What `load_script` says of torch.jit.load: a pickle that would run a command is an error."""

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    script = torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2))
    original = zipfile.ZipFile(io.BytesIO(script_bytes(script)))
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        for name in original.namelist():
            evil = name.endswith("data.pkl")
            archive.writestr(name, pickle.dumps(Evil(), 2) if evil else original.read(name))
    with pytest.raises(ModelError, match=r"TorchScript cannot open it: .*posix\.system"):
        load_script(changed.getvalue(), tmp_path)
    assert not (tmp_path / "ran").exists()


def test_without_the_sdk_the_error_says_where_it_is():
    with pytest.raises(UsageError) as caught:
        open_sdk(INF2, on_device=False, command="pilotage compile spec.yaml --target neuron")
    told = str(caught.value)
    for part in (
        "torch-neuronx) is not installed here",
        "inf2.xlarge, inf2.8xlarge",
        "/aws/service/ecs/optimized-ami/amazon-linux-2023/neuron/recommended/image_id",
        "public.ecr.aws/neuron/pytorch-inference-neuronx:",
        "docker run --rm --device=/dev/neuron0",
        "pilotage compile spec.yaml --target neuron",
    ):
        assert part in told
    with pytest.raises(UsageError, match=r"inf1\.xlarge.*Python 3\.10.*--chip inf2"):
        open_sdk(INF1, on_device=False, command="pilotage compile x")


def test_every_chip_is_in_some_instance():
    assert instance_types(INF2) == ("inf2.xlarge", "inf2.8xlarge", "inf2.24xlarge", "inf2.48xlarge")
    assert all(instance_types(chip) for chip in NEURON_CHIPS)
    with pytest.raises(UsageError, match=r'no Neuron chip "inf9".*inf2'):
        chip_of_family("inf9")


def test_what_it_needs(tiny, onnx_folder, tmp_path, sdk, chips):
    with pytest.raises(UsageError, match="not compiled for in int8"):
        compiler(tiny(), dtype="int8")
    files, neuron = compiler(onnx_folder)
    with pytest.raises(ModelError, match="needs safetensors, and the folder holds onnx"):
        compile_artifact(order(tmp_path), files, neuron)


def test_a_file_that_the_manifest_does_not_place(tiny, tmp_path, sdk, chips):
    files, neuron = compiler(tiny())
    compile_artifact(smallest(tmp_path), files, neuron)
    path = tmp_path / "out" / "compiled.json"
    data = json.loads(path.read_text())
    data["networks"][0]["file"] = None
    path.write_text(json.dumps(data))
    assert read_manifest(tmp_path / "out").networks[0].file is None
    with pytest.raises(ModelError, match="a network without a file"):
        opened(tmp_path / "out", slice_of(0))


def test_the_engine_wants_an_artifact(tiny):
    with pytest.raises(UsageError, match=r"compiled for Inferentia.*pilotage compile"):
        inspect_model(tiny(), "neuron")
