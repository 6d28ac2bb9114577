"""What the encoders' routes have in common: token limits, running all sequences, waiting."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from pilotage.engines.engine import EncoderTraits, SamplingParams
from pilotage.serve.api.context import GatewayContext, ServedModel
from pilotage.serve.api.errors import ApiError, invalid
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.submission import (
    api_error,
    charge_prompt,
    known_context_length,
    tokenized,
)
from pilotage.serve.api.waiting import while_waited_for
from pilotage.serve.generation import Generation, GenerationFailed, SubmitRequest

MAX_INPUTS = 2048
"""Inputs of one request, as the OpenAI API has it."""

_ONE_PASS = SamplingParams(max_tokens=1)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """One sequence for an encoder."""

    ids: list[int]
    segments: bytes = b""


@dataclass(frozen=True, slots=True)
class Truncation:
    """What becomes of inputs that are too long.

    Attributes:
        limit: Tokens that are kept of an input, special tokens included.
        cut: Whether longer ones are cut there; else they are refused.
    """

    limit: int
    cut: bool

    @staticmethod
    def wanted(
        context: GatewayContext,
        model: ServedModel,
        *,
        truncate: bool | None,
        truncate_prompt_tokens: int | None,
    ) -> Truncation:
        """What a request's fields ask for.

        Raises:
            ApiError: It asks for more tokens than the model reads, or the model is loading.
        """
        longest = known_context_length(context, model)
        if truncate_prompt_tokens is None:
            return Truncation(longest, cut=bool(truncate))
        if truncate_prompt_tokens > longest:
            raise invalid(
                "truncate_prompt_tokens",
                f"truncate_prompt_tokens is {truncate_prompt_tokens}; the model '{model.name}' "
                f"reads at most {longest} tokens.",
            )
        limit = longest if truncate_prompt_tokens == -1 else truncate_prompt_tokens
        return Truncation(limit, cut=True)

    def applied(self, ids: list[int], special: int, where: str, model: ServedModel) -> list[int]:
        """The ids, cut if need be.

        The beginning is kept; so is the special token at the end, if there is one.

        Args:
            ids: An input's token ids, special tokens included.
            special: How many special tokens were added.
            where: The input's place in the request.
            model: The model, for the message.

        Raises:
            ApiError: They are too many and not to be cut.
        """
        if len(ids) <= self.limit:
            return ids
        if not self.cut:
            raise ApiError(
                f"'{where}' has {len(ids)} tokens; the model '{model.name}' reads at most "
                f"{self.limit}. Shorten it, or set truncate to true.",
                code="context_length_exceeded",
                param=where,
            )
        kept_end = 1 if special > 1 and self.limit > 1 else 0
        return ids[: self.limit - kept_end] + ids[len(ids) - kept_end :]


async def text_sequences(
    model: ServedModel,
    inputs: Sequence[str | list[int]],
    truncation: Truncation,
    *,
    param: str,
    add_special_tokens: bool = True,
) -> list[TokenSequence]:
    """The inputs as token ids, tokenized off the event loop when that takes long.

    Raises:
        ApiError: An input is too long, or holds ids that are not the model's.
    """
    tokenizer = model.tokenizer
    texts = [one for one in inputs if isinstance(one, str)]
    encoded = iter(
        await tokenized(
            lambda: tokenizer.encode_batch(texts, add_special_tokens=add_special_tokens),
            sum(map(len, texts)),
        )
    )
    special = tokenizer.special_tokens_per_text if add_special_tokens else 0
    many = len(inputs) > 1
    sequences = []
    for index, one in enumerate(inputs):
        where = f"{param}[{index}]" if many else param
        if isinstance(one, str):
            ids = truncation.applied(next(encoded), special, where, model)
        else:
            if max(one) >= tokenizer.vocab_size:
                raise invalid(
                    where,
                    f"The token id {max(one)} is not one of the model's {tokenizer.vocab_size}.",
                )
            ids = truncation.applied(one, 0, where, model)
        if not ids:
            raise invalid(where, f"'{where}' has no tokens.")
        sequences.append(TokenSequence(ids))
    return sequences


def traits_of(model: ServedModel) -> EncoderTraits:
    """What the model's answers mean, as far as it is known."""
    info = model.info()
    traits = None if info is None else info.encoder
    return traits or EncoderTraits(labels=model.labels)


async def run_encoder(
    context: GatewayContext, request: Request, model: ServedModel, sequences: list[TokenSequence]
) -> list[Floats]:
    """Run all sequences and wait for all answers.

    They are cancelled when the client hangs up, when time is up, and when one fails.

    Raises:
        ApiError: The key's budget is spent (429), the server is too busy (429), no worker is
            ready (503), one fails, or it takes too long (504).
        ClientGone: Nobody waits any more.
    """
    exchange = Exchange.of(request.scope)
    tokens = sum(len(sequence.ids) for sequence in sequences)
    charge_prompt(context, exchange, tokens)
    exchange.prompt_tokens = tokens
    wanted = [
        SubmitRequest(
            exchange.request_id,
            sequence.ids,
            _ONE_PASS,
            restartable=True,
            segments=sequence.segments,
            worker=exchange.worker,
        )
        for sequence in sequences
    ]
    try:
        generations = model.dispatcher.submit(wanted)
    except GenerationFailed as failure:
        raise api_error(context, failure) from None
    try:
        answers = await while_waited_for(context, request, _answers(generations))
    except GenerationFailed as failure:
        raise api_error(context, failure) from None
    finally:
        for generation in generations:
            generation.cancel()
        waits = [g.queue_s for g in generations if g.queue_s is not None]
        exchange.queue_s = max(waits, default=None)
    exchange.finish_reason = "stop"
    exchange.first_token_at = exchange.last_token_at = time.monotonic()
    return answers


async def _answers(generations: Sequence[Generation]) -> list[Floats]:
    # One after the other: the pool runs them all meanwhile.
    return [await _answer(generation) for generation in generations]


async def _answer(generation: Generation) -> Floats:
    async for chunk in generation:
        if chunk.tensor is not None:
            values = np.frombuffer(chunk.tensor.data, "<f4")
            return values.reshape(chunk.tensor.shape)
        if chunk.finish_reason is not None:
            break
    raise GenerationFailed("The model gave no answer.", status=500, code="engine_error")
