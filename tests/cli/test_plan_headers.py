"""Counting parameters in the weights' own headers, and GGUF shapes without the file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pilotage.catalog import read_header
from pilotage.catalog.anatomies import anatomy_from_config, anatomy_from_gguf
from pilotage.cli.plan_headers import checked_count, remote_gguf
from pilotage.cli.plan_model import planned_model
from pilotage.errors import ModelError
from pilotage.spec import ModelSpec

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "fetch"))

from hub_origin import Hub  # noqa: E402

CONFIG = {
    "model_type": "llama",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 16,
    "vocab_size": 32,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}


def weights() -> dict[str, np.ndarray]:
    """What transformers saves of this config."""
    held = {"model.embed_tokens.weight": (32, 8), "model.norm.weight": (8,)}
    for layer in range(2):
        at = f"model.layers.{layer}"
        held |= {
            f"{at}.self_attn.q_proj.weight": (8, 8),
            f"{at}.self_attn.k_proj.weight": (4, 8),
            f"{at}.self_attn.v_proj.weight": (4, 8),
            f"{at}.self_attn.o_proj.weight": (8, 8),
            f"{at}.mlp.gate_proj.weight": (16, 8),
            f"{at}.mlp.up_proj.weight": (16, 8),
            f"{at}.mlp.down_proj.weight": (8, 16),
            f"{at}.input_layernorm.weight": (8,),
            f"{at}.post_attention_layernorm.weight": (8,),
        }
    return {name: np.zeros(shape, np.float16) for name, shape in held.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tensors = weights()
    names = sorted(tensors)
    for part, chosen in enumerate((names[::2], names[1::2])):
        path = tmp_path / f"model-{part + 1:05}-of-00002.safetensors"
        save_file({name: tensors[name] for name in chosen}, path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


@pytest.fixture
def hub(monkeypatch, tmp_path):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "PILOTAGE_FETCH_ALLOW"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PILOTAGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def test_the_real_headers_of_our_own_model_agree_with_its_config():
    model = ModelSpec(source=str(ROOT / "models" / "shapes-vlm"))
    said = checked_count(model, planned_model(model).anatomy)
    assert said.endswith("parameters, as the config says")


def test_shards_on_a_hub_are_counted_by_ranges(hub, folder):
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    hub.add("org/model", files)
    said = checked_count(ModelSpec(source="hf://org/model"), anatomy_from_config(CONFIG, "m"))
    assert said == (
        "the headers of 2 safetensors files hold 1,480 parameters, as the config says"
    ).replace("1,480", f"{sum(tensor.size for tensor in weights().values()):,}")


def test_a_difference_is_told_with_its_share(folder):
    wider = anatomy_from_config({**CONFIG, "vocab_size": 64}, "m")
    said = checked_count(ModelSpec(source=str(folder)), wider)
    assert "by the config there are" in said
    assert "%" in said


def test_packed_weights_are_not_compared(tmp_path):
    save_file({"layer.qweight": np.zeros((4, 4), np.int32)}, tmp_path / "model.safetensors")
    said = checked_count(ModelSpec(source=str(tmp_path)), anatomy_from_config(CONFIG, "m"))
    assert "packed" in said


def test_no_weights_at_all_is_an_error(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="no safetensors"):
        checked_count(ModelSpec(source=str(tmp_path)), anatomy_from_config(CONFIG, "m"))


def test_of_a_remote_gguf_only_the_head_is_read(embedded_model, hub):
    whole = embedded_model.read_bytes()
    hub.add("org/model", {"model.gguf": whole})
    found = remote_gguf("hf://org/model/model.gguf", revision=None, name="m")
    assert found == anatomy_from_gguf(read_header(embedded_model), "m")
    assert hub.origin.sent.total() < len(whole) / 4
