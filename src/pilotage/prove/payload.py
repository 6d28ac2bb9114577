"""One request's body, ready to be sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from pilotage.prove.load import Schedule


@dataclass(frozen=True, slots=True)
class Payload:
    """A request's body and what is known of it.

    Attributes:
        body: The encoded body.
        content_type: Its media type, with the boundary of a multipart body.
        prompt_tokens: Tokens of the prompt by our own tokenizer, chat template included where it
            is known; None without a tokenizer.
        asked_tokens: Completion tokens that are asked for; None if left to the server.
        stream: Whether the answer is asked for as a stream.
        images: Images in it.
    """

    body: bytes
    content_type: str = "application/json"
    prompt_tokens: int | None = None
    asked_tokens: int | None = None
    stream: bool = True
    images: int = 0


class PayloadSource(Protocol):
    """Makes the payloads of a run: the same ones for the same seed, each different."""

    @property
    def description(self) -> str:
        """What it makes, in a line for the report."""
        ...

    def payloads(
        self, count: int, *, seed: int, prescribed: Schedule | None = None
    ) -> Iterator[Payload]:
        """``count`` payloads, or fewer when the source is finite (a file of prompts).

        Another seed gives other prompts, so that one run does not warm the prefix cache of the
        next.

        Args:
            count: How many.
            seed: Of everything random in them.
            prescribed: A schedule whose ``prompt_tokens``, ``completion_tokens`` and
                ``prefix_ids`` (a trace's) the payloads follow, request by request, where given.

        Raises:
            UsageError: The source cannot follow what is prescribed.
        """
        ...
