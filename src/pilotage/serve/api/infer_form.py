"""The form of ``POST /infer``: a prompt, images, and how to answer."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from pilotage.serve.api.chat_request import ChatRequest, Message
from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.errors import invalid
from pilotage.serve.api.multipart import IMAGE

_SEVERAL: Final = "stop"
_FIELDS_OF_CHAT: Final = {
    "messages": "text_prompt",
    "max_completion_tokens": "max_new_tokens",
    "max_tokens": "max_new_tokens",
}
_SLACK: Final = 1 << 20


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("empty", "the prompt is empty")
    return text


class InferRequest(BaseModel):
    """The text fields of the form; all values come as text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text_prompt: Annotated[
        str,
        AfterValidator(_not_blank),
        Field(description="What to say about the images, or to answer without any."),
    ]
    model: (
        Annotated[
            str,
            Field(min_length=1, max_length=512, description="The served model, if not the first."),
        ]
        | None
    ) = None
    max_new_tokens: (
        Annotated[
            int,
            Field(
                ge=1,
                le=2**31 - 1,
                description="Most tokens of the answer. Default: the rest of the context.",
            ),
        ]
        | None
    ) = None
    min_tokens: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    temperature: (
        Annotated[float, Field(ge=0, le=2, description="Default 1; 0 (below 0.01) is greedy.")]
        | None
    ) = None
    top_p: Annotated[float, Field(gt=0, le=1, description="Default 1.")] | None = None
    top_k: (
        Annotated[int, Field(ge=-1, le=2**31 - 1, description="0 or -1, the default, is all.")]
        | None
    ) = None
    min_p: Annotated[float, Field(ge=0, le=1, description="Default 0.")] | None = None
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: (
        Annotated[float, Field(gt=0, le=10, description="Default 1, which is none.")] | None
    ) = None
    stop: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=1024)]],
            Field(max_length=16, description="Strings that end the answer; one a field."),
        ]
        | None
    ) = None
    ignore_eos: Annotated[bool, Field(description="Go on past the model's end.")] | None = None
    stream: Annotated[bool, Field(description="Send the answer as it is made.")] | None = None

    def as_chat(self, model: str) -> ChatRequest:
        """The chat request that asks the same, without its images."""
        fields = self.model_dump(exclude={"text_prompt", "model", "max_new_tokens"})
        return ChatRequest(
            model=model,
            messages=[Message(role="user", content=self.text_prompt)],
            max_completion_tokens=self.max_new_tokens,
            **fields,
        )


def fields_of(texts: list[tuple[str, str]]) -> dict[str, Any]:
    """The values of a form's text fields by their names; of ``stop`` a list.

    Raises:
        ApiError: A field is given several times.
    """
    fields: dict[str, Any] = {}
    for name, text in texts:
        if name == _SEVERAL:
            fields.setdefault(name, []).append(text)
        elif name in fields:
            raise invalid(name, f"'{name}' is given more than once.")
        else:
            fields[name] = text
    return fields


def field_of_form(param: str | None) -> str | None:
    """What the form calls a field of chat requests."""
    if param is not None and param.startswith("messages"):
        return "text_prompt"
    return None if param is None else _FIELDS_OF_CHAT.get(param, param)


def longest_form(context: GatewayContext) -> int:
    """Bytes of the longest form: all images, the text, and what is around them."""
    limits = context.images.limits
    return limits.max_bytes * limits.max_count + context.limits.max_body_bytes + _SLACK


def form_body() -> dict[str, Any]:
    """The description of the form, to be given as ``openapi_extra``."""
    schema = InferRequest.model_json_schema()
    for described in schema["properties"].values():
        # An empty text is no null: a field that is not meant is left out.
        if "anyOf" in described:
            described.update(described.pop("anyOf")[0])
            described.pop("default", None)
    schema["properties"][IMAGE] = {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "description": "JPEG, PNG, WebP or GIF files, in the order in which the model sees them.",
    }
    content = {"multipart/form-data": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}
