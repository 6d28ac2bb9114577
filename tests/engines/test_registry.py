"""Which engine opens a model, and who else could when none here can."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gguf_writer import Tensor, Typed, write_gguf

from pilotage.engines.registry import inspect_model
from pilotage.errors import ModelError, UnsupportedModelError, UsageError

LLAMA = {
    "general.architecture": Typed("str", "llama"),
    "llama.block_count": Typed("u32", 1),
    "llama.embedding_length": Typed("u32", 64),
    "llama.attention.head_count": Typed("u32", 1),
    "llama.context_length": Typed("u32", 128),
    "llama.vocab_size": Typed("u32", 256),
}


def gguf(path: Path, metadata: dict[str, Typed], type_id: int = 0) -> Path:
    path.write_bytes(write_gguf(metadata, [Tensor("token_embd.weight", (256, 256), type_id)]))
    return path


def test_the_embedded_model_is_openvinos(embedded_model: Path) -> None:
    files = inspect_model(embedded_model)
    assert (files.engine, files.shape.architecture, files.shape.layers) == ("openvino", "llama", 30)


def test_a_family_that_openvino_cannot_build_names_the_engine_that_could(tmp_path: Path) -> None:
    path = gguf(
        tmp_path / "gemma.gguf",
        {
            "general.architecture": Typed("str", "gemma3"),
            **{k.replace("llama.", "gemma3."): v for k, v in LLAMA.items() if "." in k[8:]},
            "gemma3.block_count": Typed("u32", 1),
            "gemma3.embedding_length": Typed("u32", 64),
            "gemma3.context_length": Typed("u32", 128),
            "gemma3.vocab_size": Typed("u32", 256),
        },
    )
    with pytest.raises(UnsupportedModelError, match="gemma3") as caught:
        inspect_model(path)
    assert caught.value.where == str(path)
    assert "llamacpp" in str(caught.value.hint)


def test_a_tensor_type_that_openvino_cannot_read_is_named(tmp_path: Path) -> None:
    q4_k_is_read = gguf(tmp_path / "q4k.gguf", LLAMA, type_id=12)
    assert inspect_model(q4_k_is_read).engine == "openvino"
    q5_0 = gguf(tmp_path / "q5.gguf", LLAMA, type_id=6)
    with pytest.raises(UnsupportedModelError, match=r"1 of its tensors.*Q5_0"):
        inspect_model(q5_0)


def test_a_truncated_file_is_a_damaged_model(embedded_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    with embedded_model.open("rb") as whole:
        path.write_bytes(whole.read(50_000_000))
    with pytest.raises(ModelError, match="truncated"):
        inspect_model(path)


def test_folders_say_what_they_lack(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="no OpenVINO model"):
        inspect_model(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UnsupportedModelError, match="safetensors") as caught:
        inspect_model(tmp_path)
    assert "transformers" in str(caught.value.hint)
    (tmp_path / "openvino_model.xml").touch()
    with pytest.raises(ModelError, match=r"openvino_model\.bin is missing"):
        inspect_model(tmp_path)
    for name in ("openvino_model.bin", "openvino_tokenizer.xml", "tokenizer.json"):
        (tmp_path / name).write_text("x")
    config = {
        "model_type": "qwen2", "num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2,
        "num_key_value_heads": 1, "max_position_embeddings": 64, "vocab_size": 10,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert inspect_model(tmp_path).shape.kv_heads == 1


def test_engines_of_later_versions_are_refused_by_name(embedded_model: Path) -> None:
    with pytest.raises(UsageError, match=r"neuron.*Inferentia"):
        inspect_model(embedded_model, "neuron")


@pytest.mark.parametrize("engine", ["vllm", "llamacpp"])
def test_engines_with_a_server_of_their_own_take_the_embedded_model(
    embedded_model: Path, engine: str
) -> None:
    files = inspect_model(embedded_model, engine)
    assert (files.engine, files.task, files.shape.layers) == (engine, "generate", 30)
