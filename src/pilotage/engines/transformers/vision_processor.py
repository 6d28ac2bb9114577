"""Vision models whose images are tokens of the text: Llava, Idefics 3, SmolVLM."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image as Pillow

from pilotage.engines.engine import EngineRequest
from pilotage.engines.transformers.sequence import Prompt
from pilotage.engines.transformers.vision import ImageProblem, check_images
from pilotage.errors import ModelError

_NESTED: Final = frozenset({"idefics3", "smolvlm"})
"""Families whose processor wants a list of images for each text."""

_TEXT: Final = frozenset({"input_ids", "attention_mask", "token_type_ids"})


class ProcessorEyes:
    """The model's own processor of `transformers`: pixels, and how many tokens an image takes.

    Args:
        processor: It.
        family: The model's ``model_type``.
        image_token: Id of the image token in prompts.
    """

    def __init__(self, processor: Any, family: str, image_token: int) -> None:
        self._processor = processor
        self._nested = family in _NESTED
        self.image_token = image_token

    @classmethod
    def open(cls, folder: Path, family: str, image_token: int) -> ProcessorEyes:
        """Load the processor of a model's folder.

        Raises:
            ModelError: It cannot be loaded.
        """
        from transformers import AutoProcessor  # noqa: PLC0415  brings every processor's imports

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                processor = AutoProcessor.from_pretrained(
                    folder, local_files_only=True, trust_remote_code=False
                )
        except (OSError, ValueError, ImportError, TypeError, AttributeError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelError(
                f"its image processor cannot be loaded ({reason})",
                where=str(folder),
                hint="Fetch the model again, with all its .json files",
            ) from error
        return cls(processor, family, image_token)

    def check(self, request: EngineRequest) -> None:
        """One image token an image, and as many bytes as pixels say."""
        check_images(request, self.image_token)

    def prompt(self, request: EngineRequest, device: torch.device, dtype: torch.dtype) -> Prompt:
        """The prompt with every image token replaced by the image's own tokens."""
        images = [
            Pillow.frombytes("RGB", (image.width, image.height), image.pixels)
            for image in request.images
        ]
        try:
            together = self._processed(images)
            alone = (
                [together] if len(images) == 1 else [self._processed([image]) for image in images]
            )
        except (ValueError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ImageProblem(f"the model's image processor refused an image: {reason}") from error
        expanded = iter([features["input_ids"][0].tolist() for features in alone])
        ids: list[int] = []
        for token in request.prompt_ids:
            ids += next(expanded) if token == self.image_token else [token]
        inputs = {
            name: value.to(device, dtype if value.is_floating_point() else value.dtype)
            for name, value in together.items()
            if name not in _TEXT and isinstance(value, torch.Tensor)
        }
        return Prompt(ids, inputs=inputs, whole=True)

    def _processed(self, images: list[Pillow.Image]) -> Any:
        text = self._processor.image_token * len(images)
        return self._processor(
            text=[text],
            images=[images] if self._nested else images,
            return_tensors="pt",
            add_special_tokens=False,
        )
