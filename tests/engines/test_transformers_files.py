"""Folders for the transformers engine, judged and summed up without torch."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pilotage.engines import transformers_files
from pilotage.engines.registry import inspect_model
from pilotage.engines.safetensors_header import StoredTensors
from pilotage.engines.transformers_memory import plan_transformers, running_dtype
from pilotage.errors import ModelError, ResourceError, UnsupportedModelError, UsageError

LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": 2,
    "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 1024, "vocab_size": 100,
}  # fmt: skip
LLAMA_VISION = {
    "architectures": ["MllamaForConditionalGeneration"], "model_type": "mllama",
    "text_config": {
        "model_type": "mllama_text_model", "num_hidden_layers": 40, "hidden_size": 4096,
        "intermediate_size": 14336, "num_attention_heads": 32, "num_key_value_heads": 8,
        "max_position_embeddings": 131072, "vocab_size": 128256,
        "cross_attention_layers": [3, 8, 13, 18, 23, 28, 33, 38],
    },
    "vision_config": {
        "image_size": 560, "patch_size": 14, "max_num_tiles": 4, "hidden_size": 1280,
    },
    "image_token_index": 128256,
}  # fmt: skip
GIB = 1 << 30


def safetensors(path: Path, tensors: dict[str, tuple[str, list[int]]], cut: int = 0) -> None:
    """A file of zeros (sparse, so that it may be large)."""
    widths = {"F32": 4, "F16": 2, "BF16": 2, "I8": 1}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (kind, shape) in tensors.items():
        size = widths[kind]
        for side in shape:
            size *= side
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    raw = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        file.truncate(8 + len(raw) + at - cut)


TENSORS = {
    "model.embed_tokens.weight": ("BF16", [100, 64]),
    "model.layers.0.mlp.up_proj.weight": ("BF16", [128, 64]),
    "model.norm.weight": ("F32", [64]),
}


def folder(path: Path, config: dict[str, Any] = LLAMA, **changes: Any) -> Path:
    (path / "config.json").write_text(json.dumps({**config, **changes}))
    (path / "tokenizer.json").write_text("{}")
    safetensors(path / "model.safetensors", TENSORS)
    return path


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers_files, "find_spec", lambda name: name)


@pytest.mark.usefixtures("installed")
def test_a_folder_of_safetensors_is_the_transformers_engines(tmp_path: Path) -> None:
    for engine in ("auto", "transformers"):
        files = inspect_model(folder(tmp_path), engine)
        assert (files.engine, files.task, files.vision) == ("transformers", "generate", None)
        assert files.shape.context_length == 1024


@pytest.mark.usefixtures("installed")
def test_a_vision_model_says_what_its_eyes_take(tmp_path: Path) -> None:
    path = folder(tmp_path, LLAMA_VISION)
    (path / "preprocessor_config.json").write_text(
        '{"size": {"height": 560, "width": 560}, "max_image_tiles": 4}'
    )
    vision = inspect_model(path).vision
    assert vision is not None
    assert vision.image_token == "<|image|>"


def test_without_the_extra_the_hint_is_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers_files, "find_spec", lambda name: None)
    with pytest.raises(UnsupportedModelError, match="safetensors") as caught:
        inspect_model(folder(tmp_path))
    assert "pip install 'pilotage[transformers]'" in str(caught.value.hint)
    with pytest.raises(UsageError, match="not installed"):
        inspect_model(tmp_path, "transformers")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"architectures": ["BertModel"], "model_type": "bert"}, "BertModel"),
        ({"architectures": ["T5ForConditionalGeneration"], "model_type": "t5"}, "T5"),
        ({"model_type": "mamba2"}, "mamba2"),
        ({"layer_types": ["linear_attention", "full_attention"]}, "llama"),
    ],
)
def test_families_that_it_cannot_run_are_named(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(UnsupportedModelError, match=told):
        inspect_model(folder(tmp_path, **changes), "transformers")


@pytest.mark.usefixtures("installed")
def test_eyes_that_it_does_not_know_are_named(tmp_path: Path) -> None:
    path = folder(tmp_path, {**LLAMA_VISION, "model_type": "qwen2_vl"})
    (path / "preprocessor_config.json").write_text('{"size": {"shortest_edge": 56}}')
    with pytest.raises(UnsupportedModelError, match="qwen2_vl"):
        inspect_model(path)


@pytest.mark.usefixtures("installed")
def test_files_that_are_missing_or_damaged_are_named(tmp_path: Path) -> None:
    path = folder(tmp_path)
    (path / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        inspect_model(path)
    path = folder(tmp_path)
    safetensors(path / "model.safetensors", TENSORS, cut=1)
    with pytest.raises(ModelError, match="cut short"):
        inspect_model(path)
    (path / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(ModelError, match="no safetensors"):
        inspect_model(path)
    (path / "model.safetensors").write_bytes(struct.pack("<Q", 40) + b"x" * 40)
    with pytest.raises(ModelError, match="header"):
        inspect_model(path)
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "../../etc/passwd"}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="missing"):
        inspect_model(path)
    with pytest.raises(UnsupportedModelError, match="folders"):
        inspect_model(path / "config.json", "transformers")


@pytest.mark.parametrize(
    "entry",
    [3, {"dtype": "F32"}, {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
     {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}],
)  # fmt: skip
def test_a_header_is_not_believed(tmp_path: Path, entry: object) -> None:
    raw = json.dumps({"a": entry}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw + b"0000")
    with pytest.raises(ModelError, match="damaged"):
        StoredTensors.read(tmp_path)


def test_tensors_are_counted_by_type(tmp_path: Path) -> None:
    stored = StoredTensors.read(folder(tmp_path))
    assert stored.values == {"BF16": 100 * 64 + 128 * 64, "F32": 64}
    assert stored.nbytes == 2 * (100 * 64 + 128 * 64) + 4 * 64
    assert (stored.matrices, stored.main_type) == (128 * 64, "BF16")


def test_the_sum_is_weights_cache_activations_and_runtime(tmp_path: Path) -> None:
    plan = plan_transformers(
        folder(tmp_path), kind="cpu", available=GIB, dtype="fp32", max_model_len=100,
        max_num_seqs=3,
    )  # fmt: skip
    assert plan.weights == 4 * (100 * 64 + 128 * 64 + 64)
    assert plan.kv_per_token == 2 * 2 * 2 * 16 * 4  # layers, K and V, heads, width, bytes
    assert plan.kv == plan.kv_per_token * 300
    assert plan.images == 0
    assert plan.total == plan.weights + plan.kv + plan.activations + plan.runtime


def llama_vision_11b(path: Path) -> Path:
    folder(path, LLAMA_VISION)
    # As many values as the real one, 10.67e9, in a sparse file.
    layers = {f"model.layers.{n}.w.weight": ("BF16", [4096, 56_000]) for n in range(40)}
    safetensors(path / "model.safetensors", {**layers, "e.weight": ("BF16", [128_264, 11_600])})
    return path


def test_llama_vision_keeps_text_in_32_layers_and_images_in_8(tmp_path: Path) -> None:
    plan = plan_transformers(
        llama_vision_11b(tmp_path), kind="cuda", available=80 * GIB, max_model_len=4096,
        max_num_seqs=16,
    )  # fmt: skip
    assert plan.kv_per_token == 32 * 2 * 8 * 128 * 2
    assert plan.images_per_seq == 4 * 1601 * 8 * 2 * 8 * 128 * 2
    assert 19 * GIB < plan.weights < 20 * GIB


def test_too_big_says_the_sum_and_what_would_fit(tmp_path: Path) -> None:
    path = llama_vision_11b(tmp_path)
    with pytest.raises(ResourceError, match="weights in bf16") as caught:
        plan_transformers(path, kind="cuda", available=24 * GIB, max_model_len=8192,
                          max_num_seqs=64)  # fmt: skip
    message, hint = str(caught.value), str(caught.value.hint)
    assert "64 x 8,192 tokens" in message
    assert "24GiB" in message
    assert "--max-num-seqs" in hint
    seqs = int(hint.split("--max-num-seqs ")[1].split(",", maxsplit=1)[0])
    fitting = plan_transformers(
        path, kind="cuda", available=24 * GIB, max_model_len=8192, max_num_seqs=seqs
    )
    assert fitting.total <= 24 * GIB
    with pytest.raises(ResourceError) as caught:
        plan_transformers(path, kind="cuda", available=16 * GIB, max_model_len=2048,
                          max_num_seqs=1)  # fmt: skip
    assert "--dtype int8" in str(caught.value.hint)
    with pytest.raises(ResourceError) as caught:
        plan_transformers(path, kind="cpu", available=2 * GIB)
    assert "smaller model" in str(caught.value.hint)


def test_without_a_wish_as_many_sequences_as_fit(tmp_path: Path) -> None:
    path = llama_vision_11b(tmp_path)
    roomy = plan_transformers(path, kind="cuda", available=300 * GIB, max_model_len=4096)
    tight = plan_transformers(path, kind="cuda", available=30 * GIB, max_model_len=4096)
    assert roomy.max_num_seqs == 64
    assert 1 <= tight.max_num_seqs < 64
    assert tight.total <= 30 * GIB


def test_the_number_format_follows_device_and_files(monkeypatch: pytest.MonkeyPatch) -> None:
    from pilotage.engines import transformers_memory

    assert running_dtype("auto", "cuda", "F32") == ("bf16", None)
    assert running_dtype("int4", "cuda", "BF16") == ("bf16", "int4")
    assert running_dtype("fp16", "cpu", "BF16") == ("fp16", None)
    monkeypatch.setattr(transformers_memory, "cpu_has_bf16", lambda: True)
    assert running_dtype("auto", "cpu", "BF16") == ("bf16", None)
    assert running_dtype("auto", "cpu", "F32") == ("fp32", None)
    monkeypatch.setattr(transformers_memory, "cpu_has_bf16", lambda: False)
    assert running_dtype("auto", "cpu", "BF16") == ("fp32", None)


def test_judging_a_folder_imports_nothing_heavy() -> None:
    code = (
        "import sys; import pilotage.engines.registry, pilotage.engines.transformers_memory; "
        "sys.exit(any(n in sys.modules for n in ('torch', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
