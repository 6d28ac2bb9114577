from __future__ import annotations

import json

import pytest
from gguf_writer import Typed, llama
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilotage.catalog import ModelShape, read_header
from pilotage.errors import ModelError, UnsupportedModelError

CONFIG = {
    "model_type": "llama",
    "num_hidden_layers": 30,
    "hidden_size": 576,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "vocab_size": 49152,
}


def from_gguf(tmp_path, **changes):
    path = tmp_path / "m.gguf"
    path.write_bytes(llama(**changes))
    return ModelShape.from_gguf(read_header(path))


def folder(tmp_path, config, *, weights="model.safetensors"):
    text = config if isinstance(config, str) else json.dumps(config)
    (tmp_path / "config.json").write_text(text)
    if weights:
        (tmp_path / weights).write_bytes(b"x" * 1000)
    return tmp_path


def test_the_shape_in_a_gguf_file(tmp_path):
    shape = from_gguf(tmp_path)
    assert shape == ModelShape(
        architecture="llama",
        layers=2,
        hidden=64,
        heads=4,
        kv_heads_by_layer=(2, 2),
        head_dim=16,
        value_head_dim=16,
        context_length=128,
        vocab_size=4,
        parameters=64 * 4 + 64 * 64 + 64,
        weight_bytes=64 * 4 // 32 * 34 + 64 * 64 // 32 * 20 + 64 * 4,
        tensor_types={"Q8_0": 1, "Q4_1": 1, "F32": 1},
    )
    # 2 layers x 2 heads x (16 + 16) values x 2 bytes
    assert shape.kv_bytes_per_token(2) == 256


def test_heads_may_differ_by_layer_and_from_the_hidden_size(tmp_path):
    shape = from_gguf(
        tmp_path,
        llama__attention__head_count_kv=Typed("i32", [4, 0]),
        llama__attention__key_length=Typed("u32", 24),
        llama__attention__value_length=Typed("u32", 8),
        llama__vocab_size=Typed("u32", 7),
    )
    assert (shape.kv_heads, shape.head_dim, shape.vocab_size) == (4, 24, 7)
    assert shape.kv_bytes_per_token(1) == 4 * (24 + 8)


def test_a_model_without_grouped_heads_has_a_key_head_for_each_query_head(tmp_path):
    shape = from_gguf(tmp_path, llama__attention__head_count_kv=None)
    assert shape.kv_heads_by_layer == (4, 4)


def test_without_a_token_list_the_embedding_says_the_vocabulary(tmp_path):
    assert from_gguf(tmp_path, tokenizer__ggml__tokens=None).vocab_size == 4


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"general.architecture": None}, "names no architecture"),
        ({"llama.block_count": None}, "does not say the model's number of layers"),
        ({"llama.block_count": Typed("u32", 0)}, "number of layers cannot be"),
        ({"llama.block_count": Typed("u32", 2**31)}, "2,147,483,648 layers"),
        ({"llama.attention.head_count_kv": Typed("u32", 9)}, "do not go with"),
        ({"llama.attention.head_count_kv": Typed("u32", [1, 1, 1])}, "do not go with"),
        ({"llama.context_length": Typed("str", "long")}, "not a whole number"),
    ],
)
def test_impossible_numbers_are_refused_by_name(tmp_path, changes, reason):
    with pytest.raises(ModelError, match=reason):
        from_gguf(tmp_path, **changes)


def test_one_part_of_a_split_model_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(UnsupportedModelError, match="3 parts") as error:
        from_gguf(tmp_path, split__count=Typed("u16", 3))
    assert "--merge" in (error.value.hint or "")


def test_the_shape_in_a_config(tmp_path):
    shape = ModelShape.from_config(folder(tmp_path, CONFIG))
    assert (shape.layers, shape.kv_heads, shape.head_dim, shape.vocab_size) == (30, 3, 64, 49152)
    assert shape.kv_bytes_per_token(2) == 23_040
    assert (shape.parameters, shape.weight_bytes, dict(shape.tensor_types)) == (None, 1000, {})


def test_openvino_folders_count_the_model_and_not_its_tokenizer(tmp_path):
    model = folder(tmp_path, CONFIG, weights="openvino_model.bin")
    (model / "openvino_tokenizer.bin").write_bytes(b"x" * 77)
    assert ModelShape.from_config(model).weight_bytes == 1000


def test_a_multimodal_config_speaks_for_its_language_model(tmp_path):
    config = {"model_type": "mllama", "text_config": {**CONFIG, "head_dim": 32}}
    assert ModelShape.from_config(folder(tmp_path, config)).head_dim == 32


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a JSON object"),
        ({**CONFIG, "num_hidden_layers": -1}, "number of layers cannot be -1"),
        ({**CONFIG, "num_hidden_layers": True}, "cannot be True"),
        ({**CONFIG, "hidden_size": "576"}, "hidden size cannot be '576'"),
        ({"model_type": "bert"}, "does not say the model's vocabulary size"),
        ({**CONFIG, "model_type": None}, "no model_type"),
        ({**CONFIG, "text_config": [1]}, "not an object"),
    ],
)
def test_bad_configs_are_refused_with_a_reason(tmp_path, config, reason):
    with pytest.raises(ModelError, match=reason):
        ModelShape.from_config(folder(tmp_path, config))


def test_a_folder_without_config_or_weights_says_so(tmp_path):
    with pytest.raises(ModelError, match=r"no config\.json"):
        ModelShape.from_config(tmp_path)
    with pytest.raises(ModelError, match="holds no weights"):
        ModelShape.from_config(folder(tmp_path, CONFIG, weights=None))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(key=st.sampled_from([*CONFIG, "head_dim", "text_config"]), value=json_values)
def test_any_value_anywhere_is_a_shape_or_a_model_error(tmp_path, key, value):
    model = folder(tmp_path, {**CONFIG, key: value})
    try:
        shape = ModelShape.from_config(model)
    except ModelError as error:
        assert error.where
    else:
        assert shape.kv_bytes_per_token(1) >= 0
        assert len(shape.kv_heads_by_layer) == shape.layers
