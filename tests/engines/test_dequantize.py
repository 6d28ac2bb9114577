"""A GGUF file as a safetensors folder, against the engine that reads the GGUF itself."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from pilotage.catalog import read_header
from pilotage.engines.dense_layout import dense_name
from pilotage.engines.dequantize import _halves, _stored, dense_copy, dequantize
from pilotage.errors import UnsupportedModelError
from pilotage.tokens import Tokenizer

pytest.importorskip("gguf")


@pytest.fixture(scope="module")
def dense(embedded_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dequantize(embedded_model, tmp_path_factory.mktemp("dense") / "model")


def test_every_tensor_is_there_in_hugging_faces_shape(dense: Path, embedded_model: Path) -> None:
    from safetensors import safe_open

    header = read_header(embedded_model)
    with safe_open(dense / "model.safetensors", "numpy") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    assert shapes == {
        dense_name(tensor.name, ""): list(reversed(tensor.shape)) for tensor in header.tensors
    }


def test_its_tokenizer_is_the_models(dense: Path, embedded_model: Path) -> None:
    text = "Hello, <|im_start|> 12345 wörld!\n"
    ours, theirs = Tokenizer.open(embedded_model), Tokenizer.open(dense)
    assert theirs.encode(text) == ours.encode(text)
    messages = [{"role": "user", "content": "Hi"}]
    assert theirs.encode_chat(messages) == ours.encode_chat(messages)
    assert theirs.eos_token_ids == ours.eos_token_ids


def test_its_config_says_what_the_gguf_does(dense: Path) -> None:
    config = json.loads((dense / "config.json").read_text())
    assert (config["architectures"], config["num_hidden_layers"]) == (["LlamaForCausalLM"], 30)
    assert (config["num_key_value_heads"], config["head_dim"]) == (3, 64)
    assert (config["rope_theta"], config["tie_word_embeddings"]) == (100_000.0, True)


@pytest.mark.slow
def test_transformers_answers_with_it_as_with_the_gguf(dense: Path, embedded_model: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.set_num_threads(1)
    ids = torch.tensor([Tokenizer.open(dense).encode("The capital of France is")])
    ours = transformers.AutoModelForCausalLM.from_pretrained(dense, dtype=torch.float32)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        embedded_model.parent,
        gguf_file=embedded_model.name,
        quantization_config=transformers.GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    with torch.no_grad():
        mine, reference = ours(ids).logits, theirs(ids).logits
    # Ours are rounded to bf16 once, which moves logits by parts in a hundred.
    assert torch.allclose(mine.softmax(-1), reference.softmax(-1), atol=0.05)
    assert torch.nn.functional.cosine_similarity(mine, reference, dim=-1).min() > 0.999


def test_rotary_rows_go_back_to_halves() -> None:
    heads, size = 2, 6
    hugging_face = np.arange(heads * size, dtype=np.float32)[:, None]
    llama_cpp = hugging_face.reshape(heads, 2, size // 2, 1).swapaxes(1, 2).reshape(-1, 1)
    assert (_halves(llama_cpp, heads) == hugging_face).all()


def test_bf16_is_rounded_to_nearest_even() -> None:
    ties = np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-9], np.float32)
    bits = struct.unpack("<4H", _stored(ties, "bf16"))
    values = np.array(bits, np.uint32) << 16
    assert values.view(np.float32).tolist() == [1.0, 1.0, 1 + 2**-6, -1.0]


def test_a_tensor_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="ffn_gate_exps"):
        dense_name("blk.3.ffn_gate_exps.weight", "a.gguf")


def test_a_copy_is_made_once(embedded_model: Path, tmp_path: Path) -> None:
    first = dense_copy(embedded_model, tmp_path, "auto")
    written = (first / "model.safetensors").stat().st_mtime_ns
    assert dense_copy(embedded_model, tmp_path, "bf16") == first
    assert (first / "model.safetensors").stat().st_mtime_ns == written
    assert [path.name for path in tmp_path.iterdir()] == [first.name]
