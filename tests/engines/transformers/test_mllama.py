"""Mllama: images and text in one batch, each sequence as if it were alone."""

from __future__ import annotations

import random
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
from transformers.models.mllama.processing_mllama import (  # noqa: E402
    convert_sparse_cross_attention_mask_to_dense,
    get_cross_attention_token_mask,
)

from pilotage.engines.engine import EngineRequest, Image  # noqa: E402
from pilotage.engines.opening import open_engine  # noqa: E402
from pilotage.engines.transformers.vision import looking  # noqa: E402
from pilotage.images import VisionInput  # noqa: E402
from pilotage.images.tiles import tile_images  # noqa: E402

Tiny = Callable[[str], Path]


@pytest.fixture(scope="module")
def engine(tiny: Tiny) -> Any:
    return open_engine(config(tiny("mllama")), CPU)


def picture(width: int, height: int, seed: int) -> Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image(width, height, pixels.tobytes())


def pillow(image: Image) -> Pillow.Image:
    return Pillow.frombytes("RGB", (image.width, image.height), image.pixels)


def reference(
    engine: Any, folder: Path, prompt: list[int], images: list[Image], count: int
) -> list[int]:
    """What transformers' processor and `generate` make of it."""
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    features = processor([[pillow(image) for image in images]], return_tensors="pt")
    mask = convert_sparse_cross_attention_mask_to_dense(
        [get_cross_attention_token_mask(prompt, IMAGE_TOKEN)],
        num_tiles=features.pop("num_tiles"), max_num_tiles=4, length=len(prompt),
    )  # fmt: skip
    made = engine.model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        cross_attention_mask=torch.from_numpy(mask),
        max_new_tokens=count, do_sample=False, eos_token_id=None, pad_token_id=0, **features,
    )  # fmt: skip
    return made[0, len(prompt) :].tolist()


def test_the_pixels_are_those_of_transformers_processor(tiny: Tiny) -> None:
    folder = tiny("mllama")
    vision = VisionInput.read(folder)
    assert vision is not None
    assert vision.tiles is not None
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    sizes = [(28, 28), (90, 20), (10, 70), (56, 56), (300, 200), (13, 13), (57, 29), (111, 28)]
    for seed, (width, height) in enumerate(sizes):
        image = picture(width, height, seed)
        theirs = processor([[pillow(image)]], return_tensors="np")
        ours = tile_images([(width, height, image.pixels)], vision.tiles, vision.preprocessor)
        np.testing.assert_allclose(ours.pixels, theirs["pixel_values"][0], atol=2e-6)
        assert ours.ratio_ids.tolist() == theirs["aspect_ratio_ids"][0].tolist()
        assert ours.mask.tolist() == theirs["aspect_ratio_mask"][0].tolist()
        assert list(ours.counts) == theirs["num_tiles"][0]


def test_who_looks_at_which_image_is_as_in_transformers_processor() -> None:
    draw = random.Random(1)
    for _ in range(300):
        prompt = [draw.choice([IMAGE_TOKEN, 5, 6]) for _ in range(draw.randrange(1, 12))]
        count = prompt.count(IMAGE_TOKEN)
        if count == 0:
            continue
        tiles = tuple(draw.randrange(1, 5) for _ in range(count))
        theirs = convert_sparse_cross_attention_mask_to_dense(
            [get_cross_attention_token_mask(prompt, IMAGE_TOKEN)], [list(tiles)], 4, len(prompt)
        )[0]
        assert looking(prompt, IMAGE_TOKEN, tiles, 4).tolist() == theirs.tolist(), prompt


def cases() -> list[tuple[list[int], list[Image]]]:
    image = IMAGE_TOKEN
    return [
        ([1, image, 5, 6, 7], [picture(28, 28, 1)]),
        ([5, 6, 7, 8], []),
        ([1, 9, 9, image, 5, *range(20, 50)], [picture(100, 30, 2)]),
        ([image, 4, 5, image, 7, 8], [picture(56, 56, 3), picture(20, 60, 4)]),
        (list(range(3, 40)), []),
        ([image, image, 11, 12], [picture(28, 112, 5), picture(28, 28, 6)]),
        ([1, image, 5, 6, 7], [picture(28, 28, 7)]),
        ([77], []),
        ([3, image], [picture(40, 40, 8)]),
    ]


@pytest.mark.parametrize("every", [0, 1, 3])
def test_images_and_text_in_one_batch_are_each_as_in_generate(
    engine: Any, tiny: Tiny, every: int
) -> None:
    requests = [
        EngineRequest(number, prompt, greedy(6 + 3 * (number % 4)), tuple(images))
        for number, (prompt, images) in enumerate(cases())
    ]
    made = run(engine, requests, every=every)
    for number, (prompt, images) in enumerate(cases()):
        count = 6 + 3 * (number % 4)
        if images:
            expected = reference(engine, tiny("mllama"), prompt, images, count)
        else:
            text = torch.tensor([prompt])
            expected = engine.model.generate(
                text, attention_mask=torch.ones_like(text), max_new_tokens=count,
                do_sample=False, eos_token_id=None, pad_token_id=0,
            )[0, len(prompt) :].tolist()  # fmt: skip
        assert ids(made[number]) == expected, f"request {number}"


def test_the_image_matters(engine: Any) -> None:
    answers = {
        tuple(ids(run(engine, [EngineRequest(1, [1, IMAGE_TOKEN, 5], greedy(8), (image,))])[1]))
        for image in (picture(28, 28, seed) for seed in range(6))
    }
    assert len(answers) > 1


@pytest.mark.parametrize(
    ("prompt", "images", "told"),
    [
        ([1, 5], (Image(1, 1, b"abc"),), "0 image tokens for 1 image"),
        ([1, IMAGE_TOKEN], (), "1 image token for 0 images"),
        ([1, IMAGE_TOKEN], (Image(2, 2, b"abc"),), "bytes"),
        ([1, IMAGE_TOKEN], (Image(0, 2, b""),), "bytes"),
    ],
)
def test_images_that_do_not_go_with_the_prompt_are_refused(
    engine: Any, prompt: list[int], images: tuple[Image, ...], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        engine.submit(EngineRequest(1, prompt, greedy(), images))


def test_text_streams_on_while_images_are_read(engine: Any) -> None:
    engine.submit(EngineRequest(0, [5, 6], greedy(40)))
    engine.step()
    image = picture(28, 28, 1)  # 4 tiles of 4 patches, with 3 tokens: a step's 16 tokens
    for number in range(1, 5):
        engine.submit(EngineRequest(number, [1, IMAGE_TOKEN, 5], greedy(2), (image,)))
    steps = [{output.id for output in engine.step()} for _ in range(4)]
    assert all(0 in step for step in steps)
    firsts = [max(step) for step in steps]
    assert firsts == [1, 2, 3, 4], "one image a step"
    run(engine, [])
