"""One request of the user's own data: what every tier made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pilotage.route.answer import Usage


class Part(StrEnum):
    """What a row is used for; no row is used for two, but some to tune that are fitted on, too.

    That is where all that is fitted tells what it would have said of rows that were held out.
    """

    FIT = "fit"
    """Models are fitted on it: the classifier, log-probabilities, scorers, a judge's scale."""
    TUNE = "tune"
    """Their outputs are weighed against each other, and λ and the order of thresholds chosen."""
    BOUND = "bound"
    """Thresholds are certified on it."""
    TEST = "test"
    """Every figure that is reported is measured on it."""


_SHARES: Final = ((Part.FIT, 0.40), (Part.TUNE, 0.15), (Part.BOUND, 0.15), (Part.TEST, 0.30))

_CHARS_A_TOKEN: Final = 4
"""English text in today's vocabularies; for rows that do not say their tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A request and the tiers' answers to it, as far as the data has them.

    Attributes:
        prompt: Text of the last message that a user wrote.
        prompt_chars: Characters of the whole conversation.
        images: Images that came with it.
        tools: Whether it came with tools.
        scores: Measured quality by tier, 0 to 1; every tier is in it.
        logprobs: Natural log-probabilities of each tier's tokens.
        judge: A judge's scores by tier, 0 to 1.
        tokens: Prompt and completion tokens by tier.
        answers: Texts of the answers, by tier.
    """

    prompt: str
    prompt_chars: int
    images: int = 0
    tools: bool = False
    scores: Mapping[str, float]
    logprobs: Mapping[str, Sequence[float]] = field(default_factory=dict)
    judge: Mapping[str, float] = field(default_factory=dict)
    tokens: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)

    @property
    def part(self) -> Part:
        """What the row is for: by a hash of its prompt, so that doubles are never apart."""
        digest = hashlib.sha256(b"pilotage.routing\0" + self.prompt.encode("utf-8", "replace"))
        place = int.from_bytes(digest.digest()[:8], "big") / 2**64
        for part, share in _SHARES:
            place -= share
            if place < 0:
                return part
        return Part.TEST

    def usage(self, tier: str, assumed_completion: int) -> Usage:
        """Tokens of a tier's answer: as told, or estimated from the texts.

        Args:
            tier: Which.
            assumed_completion: Completion tokens where neither they nor the answer are known.
        """
        if tier in self.tokens:
            prompt, completion = self.tokens[tier]
            return Usage(prompt_tokens=prompt, completion_tokens=completion, images=self.images)
        completion = assumed_completion
        if tier in self.logprobs:
            completion = len(self.logprobs[tier])
        elif tier in self.answers:
            completion = 1 + len(self.answers[tier]) // _CHARS_A_TOKEN
        return Usage(
            prompt_tokens=1 + self.prompt_chars // _CHARS_A_TOKEN,
            completion_tokens=completion,
            images=self.images,
            estimated=True,
        )
