"""The body of ``POST /v1/predict``: a question about a text, or texts to classify."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pilotage.serve.api.embeddings_request import EncoderFields
from pilotage.serve.api.encoding import MAX_INPUTS

MAX_CONTEXT_CHARS = 1_000_000

_Text = Annotated[str, Field(min_length=1)]


class PredictRequest(EncoderFields):
    """What the model's task takes: ``question`` and ``context``, or ``input``."""

    question: (
        Annotated[str, Field(min_length=1, max_length=8192, description="About the context.")]
        | None
    ) = None
    context: (
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=MAX_CONTEXT_CHARS,
                description="The text that holds the answer; read in overlapping windows.",
            ),
        ]
        | None
    ) = None
    input: (
        Annotated[
            _Text | Annotated[list[_Text], Field(min_length=1, max_length=MAX_INPUTS)],
            Field(description="Texts to classify."),
        ]
        | None
    ) = None
    text: (
        Annotated[
            _Text | Annotated[list[_Text], Field(min_length=1, max_length=MAX_INPUTS)],
            Field(description="Another name of input."),
        ]
        | None
    ) = None
    top_k: (
        Annotated[
            int,
            Field(ge=1, le=1000, description="Most answers (default 1) or labels (default all)."),
        ]
        | None
    ) = None
    max_answer_tokens: (
        Annotated[int, Field(ge=1, le=512, description="Longest answer; default 15.")] | None
    ) = None
    max_window_tokens: (
        Annotated[
            int,
            Field(ge=8, le=2**20, description="Tokens of a window; default 384 or what fits."),
        ]
        | None
    ) = None
    stride: (
        Annotated[
            int,
            Field(ge=0, le=2**20, description="Tokens that windows share; default 128 or half."),
        ]
        | None
    ) = None
    handle_impossible_answer: Annotated[
        bool | None, Field(description="Let an empty answer compete: there may be none.")
    ] = None
