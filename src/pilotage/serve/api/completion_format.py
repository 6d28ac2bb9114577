"""Text completions as bytes: the whole answer, or the events of a stream."""

from __future__ import annotations

from typing import Any

from pilotage.serve.api.answer_format import (
    Envelope,
    FinishedChoice,
    around,
    encode,
    event,
    usage_of,
)
from pilotage.serve.api.sequence import Piece, ScoredToken
from pilotage.tokens import Tokenizer

_KIND = "text_completion"
_TEXT = "\0text\0"


class CompletionFormat:
    """Writes one text completion.

    Args:
        envelope: What every chunk repeats.
        tokenizer: Spells the tokens of log-probabilities.
        logprobs: As in the request: ``None`` for none, 1 names the chosen token as the top one.
    """

    def __init__(self, envelope: Envelope, tokenizer: Tokenizer, *, logprobs: int | None) -> None:
        self._envelope = envelope
        self._tokenizer = tokenizer
        self._logprobs = logprobs
        self._around: dict[int, tuple[bytes, bytes]] = {}

    def opening(self, index: int) -> bytes:
        """A choice of a completion begins with its text."""
        return b""

    def piece(self, index: int, piece: Piece) -> bytes:
        """The events for what a chunk of tokens brought; none if it brought nothing to show."""
        if piece.scored or piece.finish_reason is not None:
            logprobs = self._logprobs_of(piece.scored) if piece.scored else None
            return event(self._chunk(index, piece.text, logprobs, piece.finish_reason))
        if not piece.text:
            return b""
        pair = self._around.get(index)
        if pair is None:
            pair = self._around[index] = around(self._chunk(index, _TEXT, None, None), _TEXT)
        return pair[0] + encode(piece.text) + pair[1]

    def usage(self, prompt_tokens: int, completion_tokens: int) -> bytes:
        """The event with the token counts, if it was asked for."""
        if not self._envelope.with_usage:
            return b""
        usage = usage_of(prompt_tokens, completion_tokens)
        return event(self._envelope.head(_KIND) | {"choices": [], "usage": usage})

    def whole(
        self, choices: list[FinishedChoice], prompt_tokens: int, completion_tokens: int
    ) -> bytes:
        """The answer in one."""
        wanted = self._logprobs is not None
        written = [
            {
                "index": choice.index,
                "text": choice.text,
                "logprobs": self._logprobs_of(choice.scored) if wanted else None,
                "finish_reason": choice.finish_reason,
            }
            for choice in choices
        ]
        usage = usage_of(prompt_tokens, completion_tokens)
        return encode(self._envelope.head(_KIND) | {"choices": written, "usage": usage})

    def _chunk(
        self, index: int, text: str, logprobs: dict[str, Any] | None, finish_reason: str | None
    ) -> dict[str, Any]:
        choice = {
            "index": index,
            "text": text,
            "logprobs": logprobs,
            "finish_reason": finish_reason,
        }
        usage = {"usage": None} if self._envelope.with_usage else {}
        return self._envelope.head(_KIND) | {"choices": [choice]} | usage

    def _logprobs_of(self, scored: list[ScoredToken]) -> dict[str, Any]:
        tokens = [self._tokenizer.token_text(token.token_id) for token in scored]
        logprobs = [token.logprob for token in scored]
        top = [{token: value} for token, value in zip(tokens, logprobs, strict=True)]
        return {
            "tokens": tokens,
            "token_logprobs": logprobs,
            "top_logprobs": top if self._logprobs else None,
            "text_offset": [token.text_offset for token in scored],
        }
