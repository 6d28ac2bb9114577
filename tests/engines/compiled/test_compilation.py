"""Real compiles of tiny encoders, and what a worker makes of the artifact."""

import json

import numpy as np
import pytest

from pilotage.devices import DeviceSlice
from pilotage.engines.compiled.compilation import Order, compile_artifact
from pilotage.engines.compiled.lengths import Lengths
from pilotage.engines.compiled.manifest import MANIFEST, digest_of_files
from pilotage.engines.compiled.onnx_target import OnnxCompiler
from pilotage.engines.compiled.openvino_target import OpenVinoCompiler
from pilotage.engines.config import EngineConfig
from pilotage.engines.encoders.files import EncoderFiles
from pilotage.engines.engine import EngineRequest, SamplingParams
from pilotage.engines.opening import open_engine
from pilotage.engines.registry import inspect_model
from pilotage.errors import ModelError, UsageError

SLICE = DeviceSlice(worker=0, kind="cpu", cores=(0,))
TASKS = ["embed", "question-answering", "classify"]


def compiled(folder, output, kind=OpenVinoCompiler, **changes):
    files = EncoderFiles.of_folder(folder)
    order = {"source": "file:///tiny", "buckets": (8, 16, 32), "batches": (1, 4), "output": output}
    told = []
    manifest = compile_artifact(
        Order(**order | changes),
        files,
        kind(files, dtype="auto", threads=1),
        told=lambda network, known: told.append((network.name, known)),
    )
    return manifest, told


def opened(folder, engine="openvino", task="embed", **changes):
    config = {"model": "m", "engine": engine, "task": task, "path": str(folder), "cache": "/x"}
    return open_engine(EngineConfig(**config | changes), SLICE)


def run(engine, sequences, segments=None):
    one = SamplingParams(max_tokens=1)
    for number, ids in enumerate(sequences):
        kinds = segments[number] if segments else b""
        engine.submit(EngineRequest(number, list(ids), one, segments=kinds))
    answers = {}
    while engine.busy:
        for output in engine.step():
            array = np.frombuffer(output.tensor.data, "<f4").reshape(output.tensor.shape)
            answers[output.id] = array
    return [answers[number] for number in range(len(sequences))]


def mix(seed=0, most=32, count=23):
    draw = np.random.default_rng(seed)
    return [draw.integers(1, 120, draw.integers(1, most + 1)).tolist() for _ in range(count)]


@pytest.mark.parametrize("task", TASKS)
def test_an_artifact_answers_as_the_model(tiny, tmp_path, task):
    folder = tiny(task)
    manifest, told = compiled(folder, tmp_path / "out")
    assert [name for name, _ in told] == ["8x1", "8x4", "16x1", "16x4", "32x1", "32x4"]
    found = inspect_model(tmp_path / "out")
    assert (found.engine, found.task, found.shape.context_length) == ("openvino", task, 32)
    assert found.labels == (("bad", "so-so", "good") if task == "classify" else ())
    assert found.memory_bytes == manifest.memory_bytes > 100 << 20
    sequences = mix()
    segments = [b"\0" + b"\1" * (len(ids) - 1) if len(ids) % 2 else b"" for ids in sequences]
    ours = run(opened(tmp_path / "out", task=task), sequences, segments)
    theirs = run(opened(folder, task=task, max_model_len=32), sequences, segments)
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() < 1e-4


def test_the_manifest_tells_all(tiny, tmp_path):
    folder = tiny()
    manifest, _ = compiled(folder, tmp_path / "out", lengths=Lengths(((8, 3.0), (32, 1.0))))
    assert manifest.compiler.startswith("openvino 20")
    assert (manifest.dtype, manifest.target, manifest.task) == ("fp32", "cpu", "embed")
    assert manifest.inputs == ("input_ids", "attention_mask", "token_type_ids")
    assert manifest.source_sha256 == digest_of_files(
        folder, ["config.json", "model.safetensors", "tokenizer.json"]
    )
    assert "FP32" in manifest.device
    assert manifest.padding == 0
    assert manifest.padding_unbucketed == pytest.approx(1 - 56 / 128)
    assert set(manifest.files) == {
        "config.json",
        "tokenizer.json",
        "openvino_model.xml",
        "openvino_model.bin",
    }
    for network in manifest.networks:
        parity, operators = network.parity, network.operators
        assert parity is not None
        assert parity.min_cosine > 0.9999
        assert parity.max_abs_error < 1e-4
        assert parity.reference.startswith("openvino")
        assert operators.kinds["FullyConnected"] >= 8
        assert 0.5 < operators.share <= 1
        assert operators.total - operators.taken == sum(operators.left.values())
        assert network.compile_s > 0
        assert network.run_s > 0


def test_an_interrupted_run_goes_on(tiny, tmp_path):
    folder = tiny()
    files = EncoderFiles.of_folder(folder)
    compiler = OpenVinoCompiler(files, dtype="auto", threads=1)
    order = Order(source="file:///tiny", buckets=(8, 16), batches=(1, 2), output=tmp_path / "out")

    def stop_at_the_third(network, known):
        if network.name == "16x1":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compile_artifact(order, files, compiler, told=stop_at_the_third)
    assert not order.output.exists()
    told = []
    compile_artifact(
        order, files, compiler, told=lambda network, known: told.append((network.name, known))
    )
    assert told == [("8x1", True), ("8x2", True), ("16x1", True), ("16x2", False)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "tiny-embed"]


class Wrong:
    """A network whose answers are somebody else's."""

    def __init__(self, network, change):
        self.network = network
        self.change = change

    def infer(self, batch):
        return self.change(self.network.infer(batch))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda answer: answer[..., ::-1], r"8x1 does not answer as the model.*--dtype fp32"),
        (lambda answer: answer * np.nan, "not finite"),
    ],
)
def test_a_network_that_answers_otherwise_is_refused(tiny, tmp_path, change, says):
    class Lying(OpenVinoCompiler):
        def build(self, length, batch, folder):
            from dataclasses import replace

            built = super().build(length, batch, folder)
            return replace(built, network=Wrong(built.network, change))

    with pytest.raises(ModelError, match=says):
        compiled(tiny(), tmp_path / "out", Lying)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny-embed"]


def test_a_lower_bar_can_be_set(tiny, tmp_path):
    class Coarse(OpenVinoCompiler):
        def build(self, length, batch, folder):
            from dataclasses import replace

            built = super().build(length, batch, folder)
            return replace(built, network=Wrong(built.network, lambda answer: answer.round(1)))

    folder = tiny()
    with pytest.raises(ModelError, match="cosine"):
        compiled(folder, tmp_path / "out", Coarse)
    manifest, _ = compiled(folder, tmp_path / "out", Coarse, min_cosine=0.9)
    assert manifest.networks[0].parity.min_cosine < 0.9999


def test_what_it_was_not_compiled_for(tiny, tmp_path):
    folder, out = tiny(), tmp_path / "out"
    with pytest.raises(UsageError, match="at most 64 tokens, not 128"):
        compiled(folder, out, buckets=(16, 128))
    compiled(folder, out, buckets=(8,), batches=(1,))
    with pytest.raises(UsageError, match="compiled for the engine openvino, not onnxruntime"):
        inspect_model(out, "onnxruntime")
    with pytest.raises(UsageError, match="compiled for the task embed, not classify"):
        inspect_model(out, task="classify")
    with pytest.raises(UsageError, match="compiled for fp32, not bf16"):
        opened(out, dtype="bf16")
    with pytest.raises(UsageError, match="at most 8 tokens, not 9"):
        opened(out, max_model_len=9)
    with pytest.raises(UsageError, match="there already"):
        compiled(folder, out, buckets=(8,), batches=(1,))


def test_damage_is_found_when_it_is_loaded(tiny, tmp_path):
    out = tmp_path / "out"
    compiled(tiny(), out, buckets=(8,), batches=(1,))
    weights = bytearray((out / "openvino_model.bin").read_bytes())
    weights[1000] ^= 1
    (out / "openvino_model.bin").write_bytes(weights)
    with pytest.raises(ModelError, match=r"openvino_model\.bin.*not the file that was compiled"):
        opened(out)
    (out / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json is missing"):
        inspect_model(out)
    (out / MANIFEST).write_text("{}")
    with pytest.raises(ModelError, match="another form"):
        inspect_model(out)


def test_formats_that_the_cpu_has_not(tiny, tmp_path):
    files = EncoderFiles.of_folder(tiny())
    with pytest.raises(UsageError, match="fp16"):
        OpenVinoCompiler(files, dtype="fp16", threads=1)


def test_onnx_runtime(onnx_folder, tmp_path):
    pytest.importorskip("onnxruntime")
    out = tmp_path / "out"
    manifest, _ = compiled(onnx_folder, out, OnnxCompiler, buckets=(4, 16), batches=(2,))
    assert manifest.engine == "onnxruntime"
    assert manifest.inputs == ("input_ids", "attention_mask")
    for network in manifest.networks:
        assert network.operators.kinds == {"Gather": 1}
        assert network.operators.share == 1
        assert network.parity.max_abs_error == 0
    assert inspect_model(out).engine == "onnxruntime"
    sequences = mix(most=16)
    ours = run(opened(out, "onnxruntime"), sequences)
    theirs = run(opened(onnx_folder, "onnxruntime"), sequences)
    assert np.abs(np.stack(ours) - np.stack(theirs)).max() < 1e-6


def test_onnx_runtime_wants_an_onnx_file(tiny, onnx_folder):
    pytest.importorskip("onnxruntime")
    with pytest.raises(UsageError, match=r"model\.onnx.*safetensors"):
        OnnxCompiler(EncoderFiles.of_folder(tiny()), dtype="auto", threads=1)
    with pytest.raises(UsageError, match="number format of the file"):
        OnnxCompiler(EncoderFiles.of_folder(onnx_folder), dtype="bf16", threads=1)


def test_a_model_as_somebody_exported_it(onnx_folder, tmp_path):
    compiled(onnx_folder, tmp_path / "out", buckets=(16,), batches=(1,))
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["hidden_size"] == 8
    assert inspect_model(tmp_path / "out").engine == "openvino"
