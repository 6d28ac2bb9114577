"""Models whose images become text tokens: as their own processor and `generate` have it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from PIL import Image as Pillow  # noqa: E402
from stepping import greedy, ids, run  # noqa: E402
from tiny_models import CPU, IMAGE_TOKEN, config  # noqa: E402

from pilotage.engines.engine import EngineRequest, Image  # noqa: E402
from pilotage.engines.opening import open_engine  # noqa: E402
from pilotage.errors import ModelError, UsageError  # noqa: E402


def picture(width: int, height: int, seed: int) -> Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image(width, height, pixels.tobytes())


@pytest.mark.parametrize("kind", ["llava", "idefics3"])
def test_images_and_text_in_one_batch_are_each_as_in_generate(
    tiny: Callable[[str], Path], kind: str
) -> None:
    folder = tiny(kind)
    engine: Any = open_engine(config(folder), CPU)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    cases = [
        ([1, IMAGE_TOKEN, 5, 6], [picture(40, 28, 1)]),
        ([7, 8, 9], []),
        ([1, IMAGE_TOKEN, 5, IMAGE_TOKEN, 9], [picture(28, 28, 2), picture(28, 28, 3)]),
        ([1, 2, 3, IMAGE_TOKEN, *range(10, 40)], [picture(90, 20, 4)]),
    ]
    requests = [
        EngineRequest(number, prompt, greedy(8), tuple(images))
        for number, (prompt, images) in enumerate(cases)
    ]
    made = run(engine, requests, every=1)
    for number, (prompt, images) in enumerate(cases):
        text = " ".join(
            processor.image_token if token == IMAGE_TOKEN else f"t{token:03}" for token in prompt
        )
        pixels = [
            Pillow.frombytes("RGB", (image.width, image.height), image.pixels) for image in images
        ]
        inputs = processor(text=[text], images=[pixels] if pixels else None, return_tensors="pt")
        count = inputs["input_ids"].shape[1]
        expected = engine.model.generate(
            **inputs, max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0
        )[0, count:].tolist()
        assert ids(made[number]) == expected, f"request {number}"


def test_an_image_that_does_not_fit_the_length_stops_the_start(
    tiny: Callable[[str], Path],
) -> None:
    with pytest.raises(UsageError, match=r"image.*tokens") as caught:
        open_engine(config(tiny("idefics3"), max_model_len=16), CPU)
    assert "--max-model-len" in str(caught.value.hint)


def test_images_that_make_a_prompt_too_long_end_only_that_request(
    tiny: Callable[[str], Path],
) -> None:
    engine = open_engine(config(tiny("llava"), max_model_len=20), CPU)
    many = [IMAGE_TOKEN] * 6
    images = tuple(picture(28, 28, n) for n in range(6))
    made = run(
        engine,
        [EngineRequest(1, many, greedy(3), images), EngineRequest(2, [5, 6], greedy(3))],
    )
    assert made[1][-1].finish_reason == "error"
    assert "24 tokens" in str(made[1][-1].error)
    assert made[2][-1].finish_reason == "length"


def test_a_processor_that_is_not_there_is_named(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    for file in tiny("llava").iterdir():
        if file.name not in ("processor_config.json", "tokenizer_config.json"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "preprocessor_config.json").write_text('{"size": {"shortest_edge": 28}}')
    with pytest.raises((ModelError, UsageError), match="image"):
        open_engine(config(tmp_path), CPU)
