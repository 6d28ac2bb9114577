"""Prompts of random words whose lengths follow a distribution, or a trace."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Final

from pilotage.errors import UsageError
from pilotage.prove.load import Schedule
from pilotage.prove.payload import Payload
from pilotage.prove.payloads.image import ImageSource
from pilotage.prove.payloads.lengths import LogNormalLengths
from pilotage.prove.payloads.request_format import RequestFormat
from pilotage.prove.payloads.seeding import random_for
from pilotage.prove.payloads.texts import TextMaker
from pilotage.prove.payloads.token_count import template_tokens
from pilotage.prove.payloads.words import word_pool
from pilotage.spec.workload import TokensSpec
from pilotage.tokens import Tokenizer

TRACE_BLOCK_TOKENS: Final = 512
"""Tokens that one of a Mooncake trace's ``hash_ids`` stands for (its paper, section 4)."""

_KEPT_BLOCKS: Final = 4_096
_OPENINGS: Final = 2**40  # different openings that a run must be able to have


@dataclass(frozen=True)
class SharedPrefix:
    """A beginning that prompts have in common, as system prompts are: work for a prefix cache.

    It is part of a prompt's length, after what the chat template puts in front. A prompt that is
    no longer than it keeps one token of its own.

    Attributes:
        tokens: Its length.
        variants: Different ones; each request begins with one of them, evenly at random.

    Raises:
        UsageError: One of them is not positive.
    """

    tokens: int
    variants: int = 1

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.variants < 1:
            raise UsageError("a shared prefix has at least 1 token and 1 variant")


class SampledPrompts:
    """A `PayloadSource` of prompts of random words with sampled lengths.

    The number of a prompt's tokens is exact by `tokenizer`, template included. Prompts differ
    from their first word on, in a run and between seeds, so that no prefix cache helps unless
    `prefix` (or a trace's ``prefix_ids``) asks for it.

    Lengths that a trace prescribes replace the sampled ones, request by request; there are as
    many payloads as it has requests, at most.

    Args:
        request_format: How prompts become requests.
        prompt_tokens: Lengths of prompts, template included.
        completion_tokens: Lengths of answers, asked for as the token limit.
        tokenizer: The model's. Without one, prompts are common English words, about one token
            each, and the payloads' ``prompt_tokens`` are None.
        overhead_tokens: Tokens that the server's template adds to the text; None for those of
            the tokenizer's own template. A prompt has at least one more.
        max_prompt_tokens: The longest prompt that fits the model; longer ones, a trace's too,
            are made this long.
        prefix: What prompts share.
        images: Sent with each prompt. Their tokens are the server's secret and in no count.

    Raises:
        UsageError: No prompt fits, or the API takes no images.
    """

    def __init__(
        self,
        request_format: RequestFormat,
        prompt_tokens: TokensSpec,
        completion_tokens: TokensSpec,
        *,
        tokenizer: Tokenizer | None,
        overhead_tokens: int | None = None,
        max_prompt_tokens: int | None = None,
        prefix: SharedPrefix | None = None,
        images: ImageSource | None = None,
    ) -> None:
        if images is not None and request_format.api == "completions":
            raise UsageError(
                "the completions API takes no images", hint="Use the chat or the infer API"
            )
        self._format = request_format
        self._prompt_lengths = LogNormalLengths.of(prompt_tokens, most=max_prompt_tokens)
        self._completion_lengths = LogNormalLengths.of(completion_tokens)
        self._pool = word_pool(tokenizer)
        self._overhead = (
            template_tokens(tokenizer, request_format.api)
            if overhead_tokens is None
            else overhead_tokens
        )
        self._most = max_prompt_tokens
        if max_prompt_tokens is not None and max_prompt_tokens <= self._overhead:
            raise UsageError(
                f"there is no room for a prompt: at most {max_prompt_tokens} tokens fit, and the "
                f"chat template takes {self._overhead} of them"
            )
        self._prefix = prefix
        self._images = images

    @property
    def description(self) -> str:
        """What it makes, in a line for the report."""
        parts = [f"prompts of random words, {self._prompt_lengths} tokens"]
        if self._pool.tokenizer is None:
            parts[0] += " (about: no tokenizer, one word counted as one token)"
        elif self._overhead:
            parts[0] += f" ({self._overhead} of them the template's)"
        if self._most is not None:
            parts.append(f"at most {self._most}")
        if self._prefix is not None:
            shared = f"the first {self._prefix.tokens} tokens of the text shared"
            groups = self._prefix.variants
            parts.append(f"{shared} in {groups} groups" if groups > 1 else shared)
        parts.append(f"answers {self._completion_lengths} tokens")
        if self._format.ignore_eos:
            parts[-1] += " (end of text ignored)"
        if self._images is not None:
            parts.append(self._images.description)
        return "; ".join(parts)

    def payloads(
        self, count: int, *, seed: int, prescribed: Schedule | None = None
    ) -> Iterator[Payload]:
        """See `PayloadSource.payloads`. The first payloads are the same for every `count`."""
        prompt_draws = self._prompt_lengths.draws(random_for(seed, "prompt lengths"))
        answer_draws = self._completion_lengths.draws(random_for(seed, "answer lengths"))
        images = self._images.images(seed=seed) if self._images is not None else None
        given_prompts = prescribed.prompt_tokens if prescribed is not None else None
        given_answers = prescribed.completion_tokens if prescribed is not None else None
        given_blocks = prescribed.prefix_ids if prescribed is not None else None
        if not (given_prompts is None and given_answers is None and given_blocks is None):
            assert prescribed is not None
            count = min(count, len(prescribed))
        words = _Words(self._pool.words, seed, self._prefix)
        texts = TextMaker(self._pool, random_for(seed, "mending"))
        for index, (drawn_prompt, drawn_answer) in enumerate(
            islice(zip(prompt_draws, answer_draws, strict=False), count)
        ):
            tokens = drawn_prompt if given_prompts is None else int(given_prompts[index])
            if self._most is not None:
                tokens = min(tokens, self._most)
            wanted = max(1, tokens - self._overhead)
            blocks = given_blocks[index] if given_blocks is not None else ()
            text, text_tokens = texts.fit(words.of(index, wanted, blocks), wanted)
            answer = drawn_answer if given_answers is None else max(1, int(given_answers[index]))
            yield self._format.encode(
                text,
                images=next(images) if images is not None else (),
                max_tokens=answer,
                prompt_tokens=None if text_tokens is None else text_tokens + self._overhead,
            )


class _Words:
    """Chooses the words of the prompts of one run."""

    def __init__(self, pool: Sequence[str], seed: int, prefix: SharedPrefix | None) -> None:
        self._pool = pool
        self._prefix = prefix
        self._random = random_for(seed, "words")
        self._openings = _Openings(pool, random_for(seed, "openings"))

        def shared(kind: str, which: int, tokens: int) -> list[str]:
            return random_for(seed, kind, which).choices(pool, k=tokens)

        self._shared: Callable[[str, int, int], list[str]] = lru_cache(_KEPT_BLOCKS)(shared)

    def of(self, index: int, count: int, blocks: Sequence[int]) -> list[str]:
        """`count` words for the prompt `index`, which begins with the shared `blocks`."""
        words: list[str] = []
        if blocks:
            for block in blocks[: -(-count // TRACE_BLOCK_TOKENS)]:
                words += self._shared("block", block, TRACE_BLOCK_TOKENS)
            # Equal blocks mean equal text to the end: a trace's last block is a partial one.
            del words[count:]
        elif self._prefix is not None:
            group = self._random.randrange(self._prefix.variants)
            words += self._shared("prefix", group, self._prefix.tokens)[: count - 1]
        words += self._openings.of(index, count - len(words))
        words += self._random.choices(self._pool, k=count - len(words))
        return words


class _Openings:
    """The first words of prompts: no two alike in a run, nor (but for luck) in two runs.

    The prompt ``i`` opens with the digits of ``offset + i * stride`` in the base of the number of
    words. A stride that shares no factor with the base runs through all openings of each length
    before one comes again, and changes the first word every time.
    """

    def __init__(self, pool: Sequence[str], random_stream: random.Random) -> None:
        self._pool = pool
        self._digits = 1
        while len(pool) ** self._digits < _OPENINGS:
            self._digits += 1
        self._offset = random_stream.randrange(_OPENINGS)
        # A multiple of the base, plus 1.
        self._stride = random_stream.randrange(_OPENINGS) * len(pool) + 1

    def of(self, index: int, most: int) -> list[str]:
        place = self._offset + index * self._stride
        words = []
        for _ in range(min(self._digits, most)):
            place, digit = divmod(place, len(self._pool))
            words.append(self._pool[digit])
        return words
