"""What a vision model takes: sizes, from its ``preprocessor_config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class VisionInput(msgspec.Struct, frozen=True, kw_only=True):
    """How images come to one model.

    Attributes:
        family: The ``model_type`` of its config, such as ``mllama``.
        width: Pixels of the widest image it looks at; wider ones lose detail anyway.
        height: Pixels of the highest.
        max_images: Images a request.
        image_token: The text that stands for an image in a prompt, such as ``<|image|>``.
        preprocessor: Its ``preprocessor_config.json``, as it is.
    """

    family: str
    width: int
    height: int
    max_images: int = 16
    image_token: str
    preprocessor: Mapping[str, Any]

    def fitted(self, width: int, height: int) -> tuple[int, int]:
        """The size in pixels to which the model itself would scale an image, never larger than it.

        An image of that size is not scaled again in the engine, so that the gateway can do the
        resizing without changing an answer.
        """
        scale = min(1.0, self.width / width, self.height / height)
        return max(1, round(width * scale)), max(1, round(height * scale))
