"""One choice: the tokens of a generation into text, stop strings and log-probabilities."""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.engines.engine import FinishReason
from pilotage.serve.generation import Generation, TokenChunk
from pilotage.tokens import IncrementalDetokenizer, StopStrings, Tokenizer


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How tokens become the text of a choice.

    Attributes:
        stops: Stop strings.
        include_stop: Leave the stop string in the text.
        skip_special_tokens: Leave control tokens out of the text.
        min_tokens: Tokens before a stop string counts.
        logprobs: Keep every token's log-probability.
    """

    stops: tuple[str, ...] = ()
    include_stop: bool = False
    skip_special_tokens: bool = True
    min_tokens: int = 0
    logprobs: bool = False


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """A token, the natural logarithm of its probability, and where in the text it begins."""

    token_id: int
    logprob: float
    text_offset: int


@dataclass(frozen=True, slots=True)
class Piece:
    """What one chunk of tokens added to a choice."""

    text: str
    scored: list[ScoredToken]
    finish_reason: FinishReason | None
    restarted: bool = False  # what came before is void


class Choice:
    """One choice of an answer and the generation that it comes from.

    Args:
        index: Its place in the answer.
        generation: Where its tokens come from.
        tokenizer: Makes text of them.
        options: How.

    Attributes:
        tokens: Tokens so far, the last of a stop string included.
    """

    __slots__ = (
        "_chars",
        "_detokenizer",
        "_options",
        "_plain",
        "_stops",
        "_tokenizer",
        "generation",
        "index",
        "tokens",
    )

    def __init__(
        self, index: int, generation: Generation, tokenizer: Tokenizer, options: TextOptions
    ) -> None:
        self.index = index
        self.generation = generation
        self._tokenizer = tokenizer
        self._options = options
        self._plain = not options.stops and not options.logprobs
        self._begin()

    def take(self, chunk: TokenChunk) -> Piece:
        """Add a chunk of tokens; stops the generation when a stop string is complete."""
        if chunk.restarted:
            self._begin()
        if not self._plain:
            return self._take_one_by_one(chunk)
        self.tokens += len(chunk.token_ids)
        text = self._detokenizer.push(chunk.token_ids)
        if chunk.finish_reason is not None:
            text += self._detokenizer.flush()
        return Piece(text, [], chunk.finish_reason, chunk.restarted)

    def _begin(self) -> None:
        options = self._options
        self.tokens = 0
        self._chars = 0
        self._detokenizer = IncrementalDetokenizer(
            self._tokenizer, skip_special_tokens=options.skip_special_tokens
        )
        self._stops = StopStrings(options.stops, include=options.include_stop)

    def _take_one_by_one(self, chunk: TokenChunk) -> Piece:
        # So that what comes after a stop string in the same chunk is neither counted nor shown.
        released: list[str] = []
        scored: list[ScoredToken] = []
        logprobs = chunk.logprobs if self._options.logprobs else None
        for position, token in enumerate(chunk.token_ids):
            self.tokens += 1
            if logprobs is not None:
                scored.append(ScoredToken(token, logprobs[position], self._chars))
            if self._release(self._detokenizer.push((token,)), released):
                self.generation.cancel()
                return Piece("".join(released), scored, "stop", chunk.restarted)
        reason = chunk.finish_reason
        if reason is not None:
            if self._release(self._detokenizer.flush(), released):
                reason = "stop"
            else:
                released.append(self._stops.flush())
        return Piece("".join(released), scored, reason, chunk.restarted)

    def _release(self, text: str, released: list[str]) -> bool:
        """Pass text on as far as no stop string may begin in it; whether one was completed."""
        self._chars += len(text)
        if self.tokens < self._options.min_tokens:
            released.append(text)
            return False
        sure, stopped = self._stops.push(text)
        released.append(sure)
        return stopped
