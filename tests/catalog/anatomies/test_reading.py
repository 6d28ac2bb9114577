"""Anatomies against the real architectures: transformers builds each on the meta device."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.catalog import read_header
from pilotage.catalog.anatomies import (
    FAMILIES,
    anatomy_from_config,
    anatomy_from_gguf,
    known_config,
    known_models,
)
from pilotage.errors import ModelError, PilotageError, UnsupportedModelError

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "max_position_embeddings": 128,
}
CASES: dict[str, dict[str, Any]] = {
    "llama": SMALL | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    "mistral": SMALL | {"head_dim": 24},
    "qwen2": SMALL,
    "qwen3": SMALL | {"head_dim": 32},
    "phi3": SMALL | {"pad_token_id": 0},
    "gemma": SMALL | {"head_dim": 16},
    "gemma2": SMALL | {"head_dim": 16},
    "gemma3_text": SMALL | {"head_dim": 16},
    "mixtral": SMALL | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": SMALL
    | {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 48,
        "decoder_sparse_step": 2,
    },
    "qwen3_moe": SMALL
    | {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "mlp_only_layers": [1],
        "head_dim": 16,
    },
    "gpt_oss": SMALL | {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 16},
    "deepseek_v3": SMALL
    | {
        "num_key_value_heads": 4,
        "q_lora_rank": 24,
        "kv_lora_rank": 16,
        "qk_nope_head_dim": 16,
        "qk_rope_head_dim": 8,
        "v_head_dim": 16,
        "n_routed_experts": 8,
        "n_shared_experts": 1,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "first_k_dense_replace": 1,
        "n_group": 2,
        "topk_group": 1,
    },
    "qwen3_next": SMALL
    | {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "head_dim": 16,
    },
    "gptj": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": 500}
    | {"rotary_dim": 8},
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": 500},
    "gpt_neox": SMALL | {"num_key_value_heads": 4},
    "opt": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "ffn_dim": 128,
        "vocab_size": 500,
        "max_position_embeddings": 64,
        "word_embed_proj_dim": 64,
    },
    "falcon": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 500,
        "new_decoder_architecture": True,
        "num_kv_heads": 2,
        "bias": False,
    },
    "bert": SMALL | {"architectures": ["BertForSequenceClassification"]},
    "roberta": SMALL | {"architectures": ["RobertaForQuestionAnswering"]},
    "distilbert": {
        "dim": 64,
        "n_heads": 4,
        "n_layers": 2,
        "hidden_dim": 96,
        "vocab_size": 500,
        "max_position_embeddings": 64,
        "architectures": ["DistilBertForSequenceClassification"],
    },
    "mpnet": SMALL | {"architectures": ["MPNetModel"]},
    "mllama": {
        "text_config": SMALL
        | {
            "num_hidden_layers": 5,
            "cross_attention_layers": [1, 3],
            "model_type": "mllama_text_model",
        }
        | {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}, "pad_token_id": 0},
        "vision_config": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_global_layers": 2,
            "attention_heads": 4,
            "image_size": 56,
            "patch_size": 14,
            "max_num_tiles": 4,
            "intermediate_layers_indices": [0, 2],
            "vision_output_dim": 96,
        },
    },
    "qwen2_5_vl": {
        "text_config": SMALL | {"model_type": "qwen2_5_vl_text"},
        "vision_config": {
            "hidden_size": 32,
            "intermediate_size": 48,
            "depth": 2,
            "num_heads": 4,
            "out_hidden_size": 64,
        },
    },
    "qwen2_vl": {
        "text_config": SMALL | {"model_type": "qwen2_vl_text"},
        "vision_config": {
            "embed_dim": 32,
            "hidden_size": 64,
            "mlp_ratio": 4,
            "depth": 2,
            "num_heads": 4,
        },
    },
    "llava": {
        "text_config": SMALL | {"model_type": "llama"},
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 56,
            "patch_size": 14,
        },
    },
}


def counted(family: str, config: dict[str, Any]) -> int:
    """Parameters of the model that transformers builds from the config, without any memory."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    made = transformers.AutoConfig.for_model(family, **json.loads(json.dumps(config)))
    build = transformers.AutoModelForCausalLM.from_config
    if "architectures" in config:
        build = getattr(transformers, config["architectures"][0])
    elif family in ("mllama", "qwen2_vl", "qwen2_5_vl", "llava"):
        build = transformers.AutoModelForImageTextToText.from_config
    with torch.device("meta"):
        model = build(made)
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("family", CASES)
def test_every_parameter_is_counted(family: str) -> None:
    config = CASES[family]
    anatomy = anatomy_from_config(config | {"model_type": family}, family)
    assert anatomy.parameters == counted(family, config)


def test_gguf_header_says_the_same_as_the_config(embedded_model: Path) -> None:
    header = read_header(embedded_model)
    anatomy = anatomy_from_gguf(header, "embedded")
    assert anatomy.parameters == sum(tensor.values for tensor in header.tensors)
    known = known_config("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert known is not None
    config = anatomy_from_config(known, "known")
    assert anatomy.layers == config.layers
    assert anatomy.kv_values(100) == config.kv_values(100)
    assert anatomy.stored is not None
    assert 4.5 < anatomy.stored.bits < 6.5


def test_unknown_family_says_how_to_give_the_numbers() -> None:
    with pytest.raises(UnsupportedModelError, match='unknown architecture "lama"') as caught:
        anatomy_from_config({"model_type": "lama"}, "mine/model")
    assert 'Did you mean "llama"' in str(caught.value.hint)
    assert "num_key_value_heads" in str(caught.value.hint)


@pytest.mark.parametrize("missing", ["hidden_size", "num_hidden_layers", "vocab_size"])
def test_missing_number_is_named(missing: str) -> None:
    config = {key: value for key, value in SMALL.items() if key != missing}
    with pytest.raises(ModelError, match=missing):
        anatomy_from_config(config | {"model_type": "llama"}, "x")


def test_no_model_type() -> None:
    with pytest.raises(ModelError, match="model_type"):
        anatomy_from_config(SMALL, "x")


@given(
    st.sampled_from(FAMILIES),
    st.dictionaries(
        st.sampled_from([*SMALL, "text_config", "vision_config", "layer_types", "n_embd"]),
        st.none() | st.integers(-3, 70) | st.text(max_size=3) | st.lists(st.integers(), max_size=3),
    ),
)
def test_whatever_a_config_holds_it_is_read_or_refused(family: str, config: dict[str, Any]) -> None:
    try:
        anatomy = anatomy_from_config(config | {"model_type": family}, "x")
    except PilotageError:
        return
    assert anatomy.parameters > 0


@given(st.sampled_from(known_models()), st.integers(0, 100_000))
def test_cache_grows_with_length(name: str, tokens: int) -> None:
    config = known_config(name)
    assert config is not None
    anatomy = anatomy_from_config(config, name)
    assert 0 <= anatomy.kv_values(tokens) <= anatomy.kv_values(tokens + 1)
