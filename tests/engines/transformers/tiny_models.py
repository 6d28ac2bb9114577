"""Tiny models with random weights, as folders that `from_pretrained` reads."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from pilotage.devices import DeviceSlice  # noqa: E402
from pilotage.engines.config import EngineConfig  # noqa: E402

torch.set_num_threads(1)
VOCABULARY = 128
IMAGE_TOKEN = 127
TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
CPU = DeviceSlice(worker=0, kind="cpu", cores=(0,), memory_bytes=8 << 30)


def save(model: Any, folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def write_tokenizer(folder: Path, special: tuple[str, ...] = ("<|image|>",)) -> None:
    """Words t000, t001, …; the special ones are the last, the image token the very last."""
    first = VOCABULARY - len(special)
    tokens = {f"t{n:03}": n for n in range(first)}
    tokens |= {word: first + n for n, word in enumerate(special)}
    added = [
        {
            "id": first + n, "content": word, "special": True, "single_word": False,
            "lstrip": False, "rstrip": False, "normalized": False,
        }
        for n, word in enumerate(special)
    ]  # fmt: skip
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": tokens, "unk_token": "t000"},
    }  # fmt: skip
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "image_token": special[-1],
        "unk_token": "t000", "pad_token": "t000", "bos_token": "t001", "eos_token": "t002",
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def mllama_config() -> Any:
    text = {
        **TEXT,
        "num_hidden_layers": 4,
        "cross_attention_layers": [1, 3],
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }
    vision = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_global_layers": 1, "attention_heads": 2, "num_attention_heads": 2,
        "image_size": 28, "patch_size": 14, "max_num_tiles": 4,
        "intermediate_layers_indices": [0, 1], "vision_output_dim": 48,
        "supported_aspect_ratios": [
            [1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]
        ],
    }  # fmt: skip
    return transformers.MllamaConfig(
        text_config=text, vision_config=vision, image_token_index=IMAGE_TOKEN
    )


def randomised(model: Any) -> Any:
    """Every parameter drawn, those that begin as 0 (gates) too."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() < 2 and (parameter == 1).all():
                continue
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval()


def make(kind: str, folder: Path) -> Path:
    if kind == "llama":
        config = transformers.LlamaConfig(**TEXT)
        return save(randomised(transformers.LlamaForCausalLM(config)), folder)
    if kind == "qwen2":
        config = transformers.Qwen2Config(**TEXT)
        return save(randomised(transformers.Qwen2ForCausalLM(config)), folder)
    if kind == "mistral":
        config = transformers.MistralConfig(**TEXT, sliding_window=6)
        return save(randomised(transformers.MistralForCausalLM(config)), folder)
    if kind == "gemma2":
        config = transformers.Gemma2Config(**TEXT, head_dim=8, sliding_window=6)
        return save(randomised(transformers.Gemma2ForCausalLM(config)), folder)
    if kind == "mllama":
        made = save(
            randomised(transformers.MllamaForConditionalGeneration(mllama_config())), folder
        )
        (folder / "preprocessor_config.json").write_text(
            json.dumps(
                {
                    "image_processor_type": "MllamaImageProcessor",
                    "size": {"height": 28, "width": 28},
                    "max_image_tiles": 4,
                    "image_mean": [0.48, 0.46, 0.41],
                    "image_std": [0.27, 0.26, 0.28],
                    "resample": 2,
                }
            )
        )
        return made
    return {"llava": llava, "idefics3": idefics3}[kind](folder)


def config(folder: Path, **changes: Any) -> EngineConfig:
    fields: dict[str, Any] = {
        "model": "tiny", "engine": "transformers", "path": str(folder), "cache": str(folder),
        "max_num_seqs": 8, "max_num_batched_tokens": 16, **changes,
    }  # fmt: skip
    return EngineConfig(**fields)


def llava(folder: Path) -> Path:
    """A CLIP tower of 28 x 28 pixels in 2 x 2 patches, whose 4 features are text tokens."""
    config_ = transformers.LlavaConfig(
        vision_config={
            "model_type": "clip_vision_model", "hidden_size": 16, "intermediate_size": 32,
            "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
        },
        text_config={"model_type": "llama", **TEXT},
        image_token_id=IMAGE_TOKEN, vision_feature_layer=-1, image_seq_length=4,
    )  # fmt: skip
    save(randomised(transformers.LlavaForConditionalGeneration(config_)), folder)
    images = {
        "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 28},
        "crop_size": {"height": 28, "width": 28},
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    processor = {
        "processor_class": "LlavaProcessor", "patch_size": 14,
        "vision_feature_select_strategy": "default", "image_token": "<|image|>",
        "num_additional_image_tokens": 1,
    }  # fmt: skip
    (folder / "processor_config.json").write_text(json.dumps(processor))
    return folder


def idefics3(folder: Path) -> Path:
    """An image in up to 2 x 2 parts and as a whole, 4 tokens each, between marks."""
    config_ = transformers.Idefics3Config(
        vision_config={
            "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 2, "image_size": 28, "patch_size": 7,
        },
        text_config={"model_type": "llama", **TEXT},
        image_token_id=IMAGE_TOKEN, scale_factor=2,
    )  # fmt: skip
    save(randomised(transformers.Idefics3ForConditionalGeneration(config_)), folder)
    images = {
        "image_processor_type": "Idefics3ImageProcessor", "size": {"longest_edge": 56},
        "max_image_size": {"longest_edge": 28}, "do_image_splitting": True,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    grid = [f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)]
    marks = ("<end_of_utterance>", "<fake_token_around_image>", "<global-img>", *grid)
    write_tokenizer(folder, (*marks, "<image>"))
    processor = {"processor_class": "Idefics3Processor", "image_seq_len": 4}
    (folder / "processor_config.json").write_text(json.dumps(processor))
    return folder
