"""Families of models on Bedrock, where Converse does not make them alike.

From the user guide ("Supported models and model features" of Converse, "Model parameters"), and
from what Bedrock answers. A family that cannot be told (an ARN of one's own profile or throughput)
is taken to do what Converse has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What is particular about a family.

    Attributes:
        pattern: Found in the ids, profiles and ARNs of its models.
        system: Takes system prompts. Where not, they go before the first user's text.
        streams_tools: Streams answers to requests with tools. Where not, they come whole.
        strict_text: Refuses an unfinished answer that ends in white space, and `temperature` along
            with `top_p`.
        top_k: Where it goes among the model's own fields; None for models without it.
        effort: Takes ``reasoning_effort`` as a field of its own.
        cache_within: Its streams count cached tokens among ``inputTokens``; all others beside
            them, as documented (measured on openai.gpt-5.6, maximhq/bifrost#6942).
        image_bytes: Largest image. 3.75 MiB is the API reference's limit (``Message``).
    """

    pattern: str
    system: bool = True
    streams_tools: bool = True
    strict_text: bool = False
    top_k: tuple[str, ...] | None = None
    effort: bool = False
    cache_within: bool = False
    image_bytes: int = 3_932_160


_FAMILIES: Final = (
    Family(pattern="anthropic.claude", strict_text=True, top_k=("top_k",)),
    # Nova's own limit is 25 MB a request.
    Family(pattern="amazon.nova", top_k=("inferenceConfig", "topK"), image_bytes=25_000_000),
    Family(pattern="meta.llama", streams_tools=False),
    Family(pattern="openai.", effort=True, cache_within=True),
    Family(pattern="amazon.titan-text", system=False),
    Family(pattern="mistral.mistral-7b", system=False),
    Family(pattern="mistral.mixtral-8x7b", system=False),
    Family(pattern="writer.palmyra", streams_tools=False),
)
_OTHER: Final = Family(pattern="")


def family_of(model_id: str) -> Family:
    """The family of a model id, an inference profile or an ARN."""
    for family in _FAMILIES:
        # At the start, after a region ("us.") or within an ARN ("foundation-model/").
        if re.search(rf"(^|[./]){re.escape(family.pattern)}", model_id):
            return family
    return _OTHER
