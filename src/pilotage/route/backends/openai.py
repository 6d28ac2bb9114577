"""Any server that speaks OpenAI's chat API, over HTTP/1.1."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from pilotage.route.answer import Chunk
from pilotage.route.call import Call


class OpenAIBackend:
    """Asks one OpenAI-compatible address.

    Args:
        name: Unique in the router: "tier/0".
        url: Base address, with its ``/v1``.
        model: What the server calls the model.
        api_key: Sent as a bearer token; None for open servers.
        timeout_s: Longest time for an answer, from the request to its last byte.
        first_token_timeout_s: Longest wait for the first byte of the answer.
        max_concurrency: Most connections, so requests in flight, at once.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str,
        model: str,
        api_key: str | None,
        timeout_s: float,
        first_token_timeout_s: float,
        max_concurrency: int,
    ) -> None:
        self.name = name
        self.model = model

    async def complete(self, call: Call) -> AsyncGenerator[Chunk, None]:
        """One attempt: see `Backend.complete`."""
        raise NotImplementedError
        yield Chunk()

    async def forward(self, body: bytes, *, stream: bool) -> RawAnswer:
        """One attempt whose answer nobody parses.

        Args:
            body: The client's whole JSON body; its ``model`` is replaced by this backend's, and
                a stream is asked for its usage.
            stream: Whether it asks for a stream.

        Returns:
            A 200 answer, from its first byte on.

        Raises:
            BackendError: Any other answer, or none.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of connections."""


class RawAnswer:
    """A 200 answer as it came. An async iterator of its body's bytes, which ``aclose`` ends.

    Attributes:
        status: Of HTTP.
        headers: Of the answer, names in lower case.
    """

    status: int
    headers: dict[bytes, bytes]
