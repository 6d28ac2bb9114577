"""Images in a conversation: where they stand in the prompt, and their pixels."""

from __future__ import annotations

import asyncio
import binascii
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from pilotage.engines.engine import Image
from pilotage.images import ImageError, VisionInput
from pilotage.serve.api.chat_request import ChatRequest, ImagePart
from pilotage.serve.api.context import GatewayContext, ServedModel
from pilotage.serve.api.errors import ApiError, invalid, unsupported
from pilotage.serve.images import ImageLoader, Upload

_DATA_URL: Final = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
_NOT_BASE64: Final = "its data: URL is not base64"

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SentImage:
    """An image of a request.

    Attributes:
        param: The request's field that has it, such as ``messages[0].content[1]``.
        source: What arrived, or the address where it is.
    """

    param: str
    source: Upload | str


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages as chat templates know them, and the images in their order.

    A message's content is a string, or parts ``{"type": "text", "text": …}`` and
    ``{"type": "image"}``.
    """

    messages: list[Message]
    images: tuple[SentImage, ...] = ()
    template_kwargs: Mapping[str, Any] | None = None

    @staticmethod
    def of(chat: ChatRequest, lifted: Mapping[str, Upload] | None = None) -> Conversation:
        """The conversation of a chat request.

        Args:
            chat: The request.
            lifted: Images that `lifted_body` has taken out of it, by the names they left.

        Raises:
            ApiError: An image where none can be.
        """
        left = dict(lifted or {})
        images: list[SentImage] = []
        for index, message in enumerate(chat.messages):
            for position, part in enumerate(
                () if isinstance(message.content, str) else message.content
            ):
                if not isinstance(part, ImagePart):
                    continue
                param = f"messages[{index}].content[{position}]"
                if message.role != "user":
                    raise invalid(param, f"Images are for messages of the user, not {message.role}")
                images.append(SentImage(param, left.pop(part.image_url.url, part.image_url.url)))
        if left:
            raise invalid(
                "messages",
                "A long data: URL stands elsewhere than in the image_url of one content part.",
            )
        return Conversation(
            [message.for_template() for message in chat.messages],
            tuple(images),
            chat.chat_template_kwargs,
        )

    @property
    def chars(self) -> int:
        """Characters of all texts."""
        return sum(len(text) for _, text in self._texts())

    def for_model(self, model: ServedModel) -> list[Message]:
        """The messages for a model's chat template.

        Raises:
            ApiError: Images that it does not take, or a text that would pass for an image.
        """
        vision = model.vision
        if vision is None:
            if self.images:
                raise unsupported(
                    self.images[0].param, f"The model '{model.name}' reads text only, not images."
                )
            return self.messages
        if len(self.images) > vision.max_images:
            raise invalid(
                self.images[vision.max_images].param,
                f"{len(self.images)} images are more than the {vision.max_images} that the model "
                f"'{model.name}' takes.",
            )
        for param, text in self._texts():
            if vision.image_token in text:
                raise invalid(
                    param,
                    f"The text contains {vision.image_token!r}, which stands for an image to the "
                    "model; send images as images.",
                )
        if not self.images or model.tokenizer.chat_reads_parts:
            return self.messages
        return [_as_text(message, vision) for message in self.messages]

    def check_prompt(self, model: ServedModel, prompt: list[int]) -> None:
        """Check that a prompt has a place for every image, and none besides.

        Raises:
            ApiError: The model's chat template has lost or made some.
        """
        if model.vision is None:
            return
        places = count_image_tokens(model, model.vision, prompt)
        if places != len(self.images):
            raise ApiError(
                f"The model's chat template makes {places} places for {len(self.images)} images.",
                code="invalid_messages",
                param=self.images[0].param if self.images else "messages",
            )

    def _texts(self) -> Iterator[tuple[str, str]]:
        for index, message in enumerate(self.messages):
            content = message["content"]
            parts = [{"text": content}] if isinstance(content, str) else content
            for part in parts:
                if "text" in part:
                    yield f"messages[{index}].content", part["text"]
            if "name" in message:
                yield f"messages[{index}].name", message["name"]


def count_image_tokens(model: ServedModel, vision: VisionInput, prompt: list[int]) -> int:
    """How many images a prompt has a place for."""
    token = model.tokenizer.encode(vision.image_token, add_special_tokens=False)
    return prompt.count(token[0]) if len(token) == 1 else 0


async def load_images(
    context: GatewayContext, model: ServedModel, images: tuple[SentImage, ...]
) -> tuple[Image, ...]:
    """The pixels of all images.

    Raises:
        ApiError: One of them is not taken; the error names it.
    """
    vision = model.vision
    if vision is None or not images:
        return ()
    most = context.images.limits.max_count
    if len(images) > most:
        raise invalid(images[most].param, f"There are more than {most} images in the request.")
    loaded = await asyncio.gather(
        *(_loaded(context.images, vision, sent) for sent in images), return_exceptions=True
    )
    done: list[Image] = []
    for sent, one in zip(images, loaded, strict=True):
        if isinstance(one, ImageError):
            which = f"Image {len(done) + 1}" if len(images) > 1 else "The request's image"
            raise ApiError(f"{which}: {one}.", code="invalid_image", param=sent.param)
        if isinstance(one, BaseException):
            raise one
        done.append(one)
    return tuple(done)


async def _loaded(loader: ImageLoader, vision: VisionInput, sent: SentImage) -> Image:
    with ExitStack() as ours:
        if isinstance(sent.source, Upload):
            upload = sent.source
        else:
            upload = await _from_address(loader, sent.source)
            ours.callback(upload.close)
        return await loader.decode(upload, vision)


async def _from_address(loader: ImageLoader, address: str) -> Upload:
    if address[:5].lower() != "data:":
        return await loader.fetch(address)
    # A short one: `lifted_body` has taken the long ones.
    head = _DATA_URL.match(address)
    if head is None:
        raise ImageError("its data: URL is not of the form data:image/png;base64,…")
    text = address[head.end() :]
    if text.endswith("==="):  # which Python's decoder takes, strict as it is
        raise ImageError(_NOT_BASE64)
    upload = loader.upload()
    try:
        upload.add(binascii.a2b_base64(text.encode("ascii"), strict_mode=True))
    except (binascii.Error, UnicodeEncodeError):
        upload.close()
        raise ImageError(_NOT_BASE64) from None
    except BaseException:
        upload.close()
        raise
    return upload


def _as_text(message: Message, vision: VisionInput) -> Message:
    """The message for a template that reads strings: the image token stands in the text."""
    content = message["content"]
    if isinstance(content, str):
        return message
    texts = [part.get("text", vision.image_token) for part in content]
    return message | {"content": "\n".join(texts)}
