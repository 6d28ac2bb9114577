"""Chat completions as bytes: the whole answer, or the events of a stream."""

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

_CHUNK = "chat.completion.chunk"
_TEXT = "\0text\0"


class ChatFormat:
    """Writes one chat completion.

    Args:
        envelope: What every chunk repeats.
        tokenizer: Spells the tokens of log-probabilities.
        logprobs: Whether they were asked for; `top_logprobs` too.
        top_logprobs: Whether the chosen token is named as the top one.
    """

    def __init__(
        self, envelope: Envelope, tokenizer: Tokenizer, *, logprobs: bool, top_logprobs: bool
    ) -> None:
        self._envelope = envelope
        self._tokenizer = tokenizer
        self._logprobs = logprobs
        self._top_logprobs = top_logprobs
        self._around: dict[int, tuple[bytes, bytes]] = {}

    def opening(self, index: int) -> bytes:
        """The event that begins a choice in a stream: who speaks."""
        return event(self._chunk(index, {"role": "assistant", "content": ""}))

    def piece(self, index: int, piece: Piece) -> bytes:
        """The events for what a chunk of tokens brought; none if it brought nothing to show."""
        events = b""
        if piece.scored:
            delta = {"content": piece.text}
            events = event(self._chunk(index, delta, logprobs=self._logprobs_of(piece.scored)))
        elif piece.text:
            pair = self._around.get(index)
            if pair is None:
                pair = around(self._chunk(index, {"content": _TEXT}), _TEXT)
                self._around[index] = pair
            events = pair[0] + encode(piece.text) + pair[1]
        if piece.finish_reason is not None:
            events += event(self._chunk(index, {}, finish_reason=piece.finish_reason))
        return events

    def usage(self, prompt_tokens: int, completion_tokens: int) -> bytes:
        """The event with the token counts, if it was asked for."""
        if not self._envelope.with_usage:
            return b""
        usage = usage_of(prompt_tokens, completion_tokens)
        return event(self._envelope.head(_CHUNK) | {"choices": [], "usage": usage})

    def whole(
        self, choices: list[FinishedChoice], prompt_tokens: int, completion_tokens: int
    ) -> bytes:
        """The answer in one."""
        return encode(
            self._envelope.head("chat.completion")
            | {
                "choices": [
                    {
                        "index": choice.index,
                        "message": {"role": "assistant", "content": choice.text},
                        "logprobs": self._logprobs_of(choice.scored) if self._logprobs else None,
                        "finish_reason": choice.finish_reason,
                    }
                    for choice in choices
                ],
                "usage": usage_of(prompt_tokens, completion_tokens),
            }
        )

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        *,
        logprobs: dict[str, Any] | None = None,
        finish_reason: str | None = None,
    ) -> dict[str, Any]:
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": finish_reason,
        }
        usage = {"usage": None} if self._envelope.with_usage else {}
        return self._envelope.head(_CHUNK) | {"choices": [choice]} | usage

    def _logprobs_of(self, scored: list[ScoredToken]) -> dict[str, Any]:
        return {"content": [self._logprob(token) for token in scored]}

    def _logprob(self, scored: ScoredToken) -> dict[str, Any]:
        entry = {
            "token": self._tokenizer.token_text(scored.token_id),
            "logprob": scored.logprob,
            "bytes": list(self._tokenizer.token_bytes(scored.token_id)),
        }
        return entry | {"top_logprobs": [entry] if self._top_logprobs else []}
