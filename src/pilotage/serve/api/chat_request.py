"""The body of ``POST /v1/chat/completions``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from pilotage.serve.api.fields import Body, GenerationFields

MAX_MESSAGES = 4096


class TextPart(Body):
    """A part of a message."""

    type: Literal["text"]
    text: str


class ImageUrl(Body):
    """Where an image is."""

    url: Annotated[
        str,
        Field(
            min_length=1,
            description="data:image/…;base64,… or, from hosts that the server allows, https://…",
        ),
    ]
    detail: (
        Annotated[
            Literal["auto", "low", "high"],
            Field(description="No effect: every image is seen as the model was trained to."),
        ]
        | None
    ) = None


class ImagePart(Body):
    """An image in a message of a user, for models that take images."""

    type: Literal["image_url"]
    image_url: ImageUrl


ContentPart = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class Message(Body):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[ContentPart], Field(min_length=1, max_length=1024)]
    name: (
        Annotated[
            str, Field(max_length=256, description="Given to the chat template, which may use it.")
        ]
        | None
    ) = None

    def for_template(self) -> dict[str, Any]:
        """The message as chat templates know it."""
        content = self.content
        message: dict[str, Any] = {
            # "developer" is OpenAI's newer word for "system", which templates were written for.
            "role": "system" if self.role == "developer" else self.role,
            "content": content
            if isinstance(content, str)
            else [
                {"type": "text", "text": part.text}
                if isinstance(part, TextPart)
                else {"type": "image"}
                for part in content
            ],
        }
        if self.name is not None:
            message["name"] = self.name
        return message


class ChatRequest(GenerationFields):
    """A conversation to continue by one message."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_completion_tokens: (
        Annotated[
            int,
            Field(ge=1, le=2**31 - 1, description="Default: the rest of the context."),
        ]
        | None
    ) = None
    logprobs: bool | None = None
    top_logprobs: (
        Annotated[
            int, Field(ge=0, le=1, description="1 is the chosen token: with temperature 0 only.")
        ]
        | None
    ) = None
    chat_template_kwargs: (
        Annotated[dict[str, Any], Field(description="Variables for the chat template.")] | None
    ) = None
    metadata: Annotated[dict[str, str], Field(max_length=16, description="No effect.")] | None = (
        None
    )
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    prompt_cache_key: Annotated[str, Field(max_length=4096, description="No effect.")] | None = None
    safety_identifier: Annotated[str, Field(max_length=4096, description="No effect.")] | None = (
        None
    )
