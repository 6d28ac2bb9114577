"""The body of ``POST /v1/completions``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pilotage.serve.api.fields import GenerationFields

DEFAULT_MAX_TOKENS = 16

_TokenIds = Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(min_length=1)]
_Text = Annotated[str, Field(min_length=1)]


class CompletionRequest(GenerationFields):
    """Prompts to continue, as text or as token ids."""

    prompt: (
        _Text
        | Annotated[list[_Text], Field(min_length=1)]
        | _TokenIds
        | Annotated[list[_TokenIds], Field(min_length=1)]
    )
    max_tokens: (
        Annotated[
            int,
            Field(ge=1, le=2**31 - 1, description="Most tokens of a choice; default 16, as ever."),
        ]
        | None
    ) = None
    logprobs: (
        Annotated[
            int,
            Field(ge=0, le=1, description="1 is the chosen token: with temperature 0 only."),
        ]
        | None
    ) = None
    add_special_tokens: (
        Annotated[bool, Field(description="Default true: BOS where the model wants one.")] | None
    ) = None

    @property
    def prompts(self) -> list[str | list[int]]:
        """The prompts, one by one."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return [prompt]
        ids = [one for one in prompt if isinstance(one, int)]
        return [ids] if ids else [one for one in prompt if not isinstance(one, int)]
