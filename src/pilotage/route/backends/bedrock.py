"""Amazon Bedrock as a backend."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from pilotage.route.answer import Chunk
from pilotage.route.call import Call


class BedrockBackend:
    """A model on Amazon Bedrock, through Converse."""

    def __init__(
        self,
        name: str,
        *,
        model_id: str,
        region: str | None,
        timeout_s: float,
        first_token_timeout_s: float,
        max_concurrency: int,
        client: Any = None,
    ) -> None:
        self.name = name

    def complete(self, call: Call) -> AsyncGenerator[Chunk, None]:
        """One attempt."""
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of connections."""
