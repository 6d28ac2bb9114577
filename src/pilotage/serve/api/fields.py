"""The base of all request bodies, and the fields that chat and completions have in common."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]
_StopString = Annotated[str, Field(min_length=1, max_length=1024)]


class Body(BaseModel):
    """A JSON object with known fields of exact types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StreamOptions(Body):
    """What a stream carries beside its text."""

    include_usage: Annotated[
        bool | None, Field(description="Send a last chunk with the token counts.")
    ] = None
    include_obfuscation: Annotated[
        Literal[False] | None, Field(description="Padding against traffic analysis: never sent.")
    ] = None


class JsonSchemaFormat(Body):
    """A JSON Schema that the answer must satisfy."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: Annotated[str, Field(max_length=4096)] | None = None
    schema_: Annotated[
        dict[str, Any],
        Field(alias="schema", description="A JSON Schema of the supported subset; see the docs."),
    ]
    strict: Annotated[
        bool | None, Field(description="The answer always satisfies the schema, strict or not.")
    ] = None


class TextFormat(Body):
    """Free text."""

    type: Literal["text"]


class JsonObjectFormat(Body):
    """Any JSON object."""

    type: Literal["json_object"]


class SchemaFormat(Body):
    """JSON that satisfies a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchemaFormat


ResponseFormat = Annotated[
    TextFormat | JsonObjectFormat | SchemaFormat, Field(discriminator="type")
]


class GenerationFields(Body):
    """How to continue a prompt; ``null`` stands for the default everywhere."""

    model: Annotated[str, Field(min_length=1, max_length=512, description="The served model.")]
    n: Annotated[int, Field(ge=1, description="Choices for each prompt.")] | None = None
    max_tokens: (
        Annotated[int, Field(ge=1, le=2**31 - 1, description="Most tokens of a choice.")] | None
    ) = None
    min_tokens: (
        Annotated[
            int, Field(ge=0, le=2**31 - 1, description="Tokens before anything may end a choice.")
        ]
        | None
    ) = None
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
        Annotated[str, Field(max_length=1024)]
        | Annotated[list[_StopString], Field(max_length=16)]
        | None
    ) = Field(default=None, description="Up to 16 strings that end a choice; not part of it.")
    include_stop_str_in_output: bool | None = None
    stop_token_ids: (
        Annotated[
            list[_TokenId],
            Field(max_length=64, description="Tokens that end a choice beside the model's own."),
        ]
        | None
    ) = None
    ignore_eos: Annotated[bool, Field(description="Go on past the model's end.")] | None = None
    skip_special_tokens: (
        Annotated[bool, Field(description="Default true: control tokens are not text.")] | None
    ) = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    user: Annotated[str, Field(max_length=4096, description="No effect.")] | None = None

    @property
    def choices(self) -> int:
        """Choices for each prompt."""
        return 1 if self.n is None else self.n

    @property
    def stops(self) -> list[str]:
        """The stop strings."""
        if not self.stop:
            return []
        return [self.stop] if isinstance(self.stop, str) else self.stop

    @property
    def wants_usage_chunk(self) -> bool:
        """Whether a stream ends with a chunk of token counts."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)
