"""The body of ``POST /v1/embeddings``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pilotage.serve.api.encoding import MAX_INPUTS
from pilotage.serve.api.fields import Body

_TokenIds = Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(min_length=1)]
_Text = Annotated[str, Field(min_length=1)]


class EncoderFields(Body):
    """What all routes of encoders take."""

    model: Annotated[str, Field(min_length=1, max_length=512, description="The served model.")]
    truncate: Annotated[
        bool | None,
        Field(description="Cut inputs that are too long, instead of refusing them."),
    ] = None
    truncate_prompt_tokens: (
        Annotated[
            int,
            Field(
                ge=-1, le=2**31 - 1, description="Cut inputs to so many tokens; -1 is what fits."
            ),
        ]
        | None
    ) = None
    user: Annotated[str, Field(max_length=4096, description="No effect.")] | None = None


class EmbeddingRequest(EncoderFields):
    """Texts to embed, as text or as token ids."""

    input: (
        _Text
        | Annotated[list[_Text], Field(min_length=1, max_length=MAX_INPUTS)]
        | _TokenIds
        | Annotated[list[_TokenIds], Field(min_length=1, max_length=MAX_INPUTS)]
    )
    encoding_format: Annotated[
        Literal["float", "base64"] | None,
        Field(description="Numbers (the default), or base64 of little-endian float32."),
    ] = None
    dimensions: (
        Annotated[
            int,
            Field(ge=1, le=2**20, description="Shorter embeddings, of models made for it."),
        ]
        | None
    ) = None
    add_special_tokens: (
        Annotated[bool, Field(description="Default true: as the model was trained.")] | None
    ) = None

    @property
    def inputs(self) -> list[str | list[int]]:
        """The inputs, one by one."""
        given = self.input
        if isinstance(given, str):
            return [given]
        ids = [one for one in given if isinstance(one, int)]
        return [ids] if ids else [one for one in given if not isinstance(one, int)]
