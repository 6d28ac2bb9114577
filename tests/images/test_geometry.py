"""Sizes of images: equal to what transformers' own processors do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import ModelError
from pilotage.images import VisionInput
from pilotage.images.mllama import TileGrid

SIDES = st.integers(1, 4000)


def folder(tmp_path: Path, config: Any, preprocessor: Any, **others: Any) -> Path:
    files = {"config": config, "preprocessor_config": preprocessor, **others}
    for name, content in files.items():
        if content is not None:
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def vision(family: str, **preprocessor: Any) -> VisionInput:
    return VisionInput(
        family=family, width=4000, height=4000, image_token="<image>", preprocessor=preprocessor
    )


@given(SIDES, SIDES, st.sampled_from([28, 224, 448, 560]), st.integers(1, 6))
def test_mllama_is_as_in_transformers(width: int, height: int, tile: int, tiles: int) -> None:
    pytest.importorskip("torch")
    processing = pytest.importorskip(
        "transformers.models.mllama.image_processing_pil_mllama",
        reason="a transformers without Pillow processors",
    )
    canvas = processing.get_optimal_tiled_canvas(height, width, tiles, tile)
    down, across = processing.get_image_size_fit_to_canvas(height, width, *canvas, tile)
    grid = TileGrid(tile, tiles)
    assert grid.arrangement(width, height) == (canvas[0] // tile, canvas[1] // tile)
    assert grid.fitted(width, height) == (across, down)
    assert list(grid.arrangements) == processing.get_all_supported_aspect_ratios(tiles)
    model = vision("mllama", size={"height": tile, "width": tile}, max_image_tiles=tiles)
    assert model.fitted(width, height) == (across, down)


@given(SIDES, SIDES)
def test_an_image_that_mllama_has_fitted_is_not_scaled_again(width: int, height: int) -> None:
    grid = TileGrid(560, 4)
    fitted = grid.fitted(width, height)
    assert grid.fitted(*fitted) == fitted


@given(SIDES, SIDES, st.sampled_from([224, 336]))
def test_a_short_side_is_as_in_transformers(width: int, height: int, short: int) -> None:
    pytest.importorskip("torch")
    transforms = pytest.importorskip("transformers.image_transforms")
    numpy = pytest.importorskip("numpy")
    if max(width, height) > 64 * min(width, height):
        return
    strip = numpy.lib.stride_tricks.as_strided(
        numpy.zeros(1, numpy.uint8), (height, width, 3), (0, 0, 0)
    )
    theirs = transforms.get_resize_output_image_size(
        strip, size=short, default_to_square=False, input_data_format="channels_last"
    )
    model = vision("llava", size={"shortest_edge": short})
    assert model.fitted(width, height) == (theirs[1], theirs[0])


@given(SIDES, SIDES)
def test_whole_patches_are_as_in_transformers(width: int, height: int) -> None:
    pytest.importorskip("torch")
    processing = pytest.importorskip("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")
    if max(width, height) > 200 * min(width, height):
        return
    most = 28 * 28 * 1280
    down, across = processing.smart_resize(height, width, 28, 56 * 56, most)
    model = vision("qwen2_vl", min_pixels=56 * 56, max_pixels=most)
    assert model.fitted(width, height) == (across, down)


def test_a_strip_for_a_cropping_model_does_not_become_huge() -> None:
    assert vision("llava", size={"shortest_edge": 336}).fitted(20_000, 1) == (336 * 64, 336)


def test_a_square_model_takes_squares() -> None:
    model = vision("llava", size={"height": 384, "width": 384})
    assert model.fitted(1000, 20) == (384, 384)


def test_others_are_only_shrunk() -> None:
    model = VisionInput(
        family="smolvlm", width=1536, height=1536, image_token="<image>",
        preprocessor={"size": {"longest_edge": 1536}},
    )  # fmt: skip
    assert model.fitted(3072, 100) == (1536, 50)
    assert model.fitted(100, 50) == (100, 50)


def test_a_folder_of_llama_vision_is_read(tmp_path: Path) -> None:
    path = folder(
        tmp_path,
        {"model_type": "mllama", "vision_config": {}, "image_token_index": 7},
        {"size": {"height": 560, "width": 560}, "max_image_tiles": 4},
        tokenizer={"added_tokens": [{"id": 7, "content": "<|image|>"}]},
    )
    model = VisionInput.read(path)
    assert model is not None
    assert (model.family, model.width, model.height) == ("mllama", 2240, 2240)
    assert model.image_token == "<|image|>"
    assert model.fitted(512, 512) == (560, 560)
    assert model.fitted(3000, 1000) == (1680, 560)


@pytest.mark.parametrize(
    ("config", "others", "token"),
    [
        ({"image_token_id": 9}, {"tokenizer_config": {"image_token": "<a>"}}, "<a>"),
        ({"image_token_id": 9}, {"tokenizer_config": {"image_token": {"content": "<b>"}}}, "<b>"),
        (
            {"image_token_id": 9},
            {"tokenizer_config": {"added_tokens_decoder": {"9": {"content": "<c>"}}}},
            "<c>",
        ),
        ({}, {}, "<image>"),
    ],
)
def test_the_image_token_is_found(
    tmp_path: Path, config: dict[str, Any], others: dict[str, Any], token: str
) -> None:
    path = folder(
        tmp_path,
        {"model_type": "llava", "vision_config": {}, **config},
        {"size": {"shortest_edge": 336}},
        **others,
    )
    model = VisionInput.read(path)
    assert model is not None
    assert model.image_token == token


def test_the_newer_combined_file_is_read(tmp_path: Path) -> None:
    path = folder(
        tmp_path, {"model_type": "llava", "vision_config": {}}, None,
        processor_config={"image_processor": {"size": {"shortest_edge": 336}}},
    )  # fmt: skip
    model = VisionInput.read(path)
    assert model is not None
    assert (model.width, model.height) == (336, 336)


def test_a_text_model_has_no_eyes(tmp_path: Path) -> None:
    assert VisionInput.read(folder(tmp_path, {"model_type": "llama"}, None)) is None
    assert VisionInput.read(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("config", "preprocessor", "told"),
    [
        ({"model_type": "mllama", "vision_config": {}}, None, "preprocessor_config"),
        ({"model_type": "mllama", "vision_config": {}}, {"size": {"height": "x"}}, "damaged"),
        ({"model_type": "mllama", "vision_config": {}}, {"size": 3}, "damaged"),
        ({"model_type": "llava", "vision_config": {}}, {}, "how large"),
        ({"model_type": "new", "vision_config": {}}, {"size": {"height": 8}}, "image"),
        ([], {}, "not a JSON object"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, config: Any, preprocessor: Any, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        VisionInput.read(folder(tmp_path, config, preprocessor))
