"""What the model takes pictures as: the size of its tiles and its preprocessing."""

from __future__ import annotations

from typing import Any

TILE = 48
"""Pixels of a tile's side."""

MAX_TILES = 2

PATCH = 12
"""Pixels of a patch's side; a tile has 16 patches."""

PREPROCESSOR: dict[str, Any] = {
    "image_processor_type": "MllamaImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "do_pad": True,
    "do_rescale": True,
    "do_normalize": True,
    "rescale_factor": 1 / 255,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "max_image_tiles": MAX_TILES,
    "resample": 2,
    "size": {"height": TILE, "width": TILE},
}
"""``preprocessor_config.json``: Llama 3.2 Vision's but for the tile size. Resampling 2 is
bilinear."""
