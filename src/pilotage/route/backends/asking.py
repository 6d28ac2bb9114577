"""The two ways a backend is asked: for chunks, and for bytes as they come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, cast, runtime_checkable

import msgspec

from pilotage.route.answer import Chunk, Usage
from pilotage.route.backends.account import Tally
from pilotage.route.backends.assembly import Assembly
from pilotage.route.backends.backend import Backend
from pilotage.route.backends.chat_events import NOT_JSON
from pilotage.route.backends.one_try import Pieces
from pilotage.route.backends.raw_answer import RawAnswer
from pilotage.route.backends.usage import estimated_prompt, estimated_tokens
from pilotage.route.call import Call

_decode: Final = msgspec.json.Decoder(dict).decode


@runtime_checkable
class Forwarder(Protocol):
    """A backend that can pass an answer's bytes on."""

    async def forward(self, body: bytes, *, stream: bool, deadline: float) -> RawAnswer:
        """See `pilotage.route.backends.openai.OpenAIBackend.forward`."""
        ...


class ChatQuestion:
    """A call, answered in chunks.

    Args:
        call: The call.

    Attributes:
        assembly: What has come of the last attempt.
    """

    timed = True

    def __init__(self, call: Call) -> None:
        self.request_id = call.request_id
        self.key_id = call.key_id
        self.deadline = call.deadline
        self.assembly = Assembly()
        self._call = call

    @property
    def images(self) -> int:
        """Images of the prompt."""
        return self._call.images

    @property
    def prompt_tokens(self) -> int:
        """About how many tokens the prompt is."""
        return estimated_prompt(self._call)

    def ask(self, backend: Backend) -> tuple[Tally, Pieces[Chunk]]:
        """See `Question`."""
        self.assembly = Assembly()
        return self.assembly, backend.complete(self._call)

    def took(self, tally: Tally, piece: Chunk) -> bool:
        """See `Question`."""
        del tally
        self.assembly.add(piece)
        return bool(piece.text or piece.reasoning or piece.tool_calls)


class _RawPieces:
    """An answer that nobody parses, and what is known of it: nothing before its head.

    No generator: each costs several microseconds, and requests that are passed on are many.
    """

    def __init__(self, question: RawQuestion, backend: Forwarder) -> None:
        self._question = question
        self._backend = backend
        self._answer: RawAnswer | None = None

    async def __anext__(self) -> bytes:
        if self._answer is None:
            self._answer = await self._question.forwarded(self._backend)
        return await self._answer.__anext__()

    async def aclose(self) -> None:
        if self._answer is not None:
            await self._answer.aclose()

    @property
    def usage(self) -> Usage | None:
        return None if self._answer is None else self._answer.usage

    @property
    def model(self) -> str | None:
        return None if self._answer is None else self._answer.model

    @property
    def tokens(self) -> int:
        return 0 if self._answer is None else self._answer.tokens

    @property
    def finished(self) -> bool:
        return self._answer is not None and self._answer.finished


class RawQuestion:
    """A client's body, answered in bytes.

    Args:
        body: JSON.
        stream: Whether it asks for a stream.
        request_id: Of the request.
        key_id: The API key that pays.
        deadline: On `time.monotonic`'s clock.
        priced_images: Whether images cost anything beside their tokens: only then they are
            counted.

    Attributes:
        headers: Of the answer, once it is there.
    """

    timed = False

    def __init__(
        self,
        body: bytes,
        *,
        stream: bool,
        request_id: str,
        key_id: str | None,
        deadline: float,
        priced_images: bool,
    ) -> None:
        self.request_id = request_id
        self.key_id = key_id
        self.deadline = deadline
        self.headers: Mapping[bytes, bytes] = {}
        self._body = body
        self._stream = stream
        self._priced_images = priced_images

    @property
    def images(self) -> int:
        """Images of the prompt, if they have a price."""
        call = self._call() if self._priced_images else None
        return 0 if call is None else call.images

    @property
    def prompt_tokens(self) -> int:
        """About how many tokens the prompt is."""
        call = self._call()
        return estimated_tokens(len(self._body)) if call is None else estimated_prompt(call)

    def ask(self, backend: Backend) -> tuple[Tally, Pieces[bytes]]:
        """See `Question`."""
        # The tier has looked whether it is one; `isinstance` costs ten microseconds here.
        pieces = _RawPieces(self, cast(Forwarder, backend))
        return pieces, pieces

    def took(self, tally: Tally, piece: bytes) -> bool:
        """See `Question`."""
        del tally, piece
        return True

    async def forwarded(self, backend: Forwarder) -> RawAnswer:
        """The backend's answer, from its first event on."""
        answer = await backend.forward(self._body, stream=self._stream, deadline=self.deadline)
        self.headers = answer.headers
        return answer

    def _call(self) -> Call | None:
        """The body as a call; None where it is none."""
        try:
            body = _decode(self._body)
        except NOT_JSON:
            return None
        messages = body.get("messages")
        if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
            return None
        return Call(body=body, request_id=self.request_id)
