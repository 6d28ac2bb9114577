"""How much of a draft is held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from decimal import Decimal

import pytest

from pilotage.route.answer import Chunk, Usage
from pilotage.route.attempt import Attempt
from pilotage.route.backends.tier import Tier
from pilotage.route.call import Call
from pilotage.route.draft import Draft
from pilotage.route.pricing import TierPrice
from pilotage.spec.tiers import TierSpec

END = Chunk(finish_reason="stop", usage=Usage(completion_tokens=3))


class Scripted:
    """A backend that gives some chunks."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self.name = "a/0"
        self.given = 0
        self._chunks = chunks

    async def complete(self, call: Call) -> AsyncGenerator[Chunk, None]:
        for chunk in self._chunks:
            self.given += 1
            yield chunk

    async def close(self) -> None:
        pass


class Nowhere:
    def record(self, attempt: Attempt) -> None:
        pass


def held(chunks: Sequence[Chunk], tokens: int | None) -> tuple[int, bool, str]:
    """Chunks read while holding, whether that was all, and the text that comes out in the end."""

    async def scenario() -> tuple[int, bool, str]:
        backend = Scripted(chunks)
        spec = TierSpec.model_validate({"name": "a", "backends": [{"kind": "local"}]})
        one = Decimal(1)
        price = TierPrice(input=one, output=one, cache_read=one, cache_write=one)
        tier = Tier(spec, [backend], price, Nowhere())
        call = Call(body={"messages": []}, request_id="r")
        async with tier.answer(call) as stream:
            draft = Draft("a", stream, keep_logprobs=False)
            await draft.hold(tokens)
            read, over = backend.given, draft.over
            text = ""
            while (chunk := await draft.next()) is not None:
                assert not chunk.logprobs
                text += chunk.text
            return read, over, text

    return asyncio.run(asyncio.wait_for(scenario(), 10))


WORDS = [Chunk(text=f"w{index} ", logprobs=(-0.1,)) for index in range(9)]
TEXT = "".join(chunk.text for chunk in WORDS)


@pytest.mark.parametrize(
    ("tokens", "read", "over"), [(0, 1, False), (1, 1, False), (4, 4, False), (99, 10, True)]
)
def test_so_many_tokens_are_held_and_nothing_is_lost(tokens: int, read: int, over: bool) -> None:
    assert held([*WORDS, END], tokens) == (read, over, TEXT)
    assert held([*WORDS, END], None) == (10, True, TEXT)


def test_a_chunk_may_have_many_tokens() -> None:
    assert held([Chunk(text="x" * 40), *WORDS, END], 10)[0] == 1
    assert held([Chunk(text="x", logprobs=(-0.1,) * 10), *WORDS, END], 10)[0] == 1
    assert held([Chunk(reasoning="x" * 40), *WORDS, END], 10)[0] == 1


def test_chunks_that_say_nothing_are_no_beginning() -> None:
    assert held([Chunk(model="m"), Chunk(), *WORDS, END], 0)[:2] == (3, False)


def test_what_has_finished_is_read_to_its_end() -> None:
    last = Chunk(text="done", finish_reason="stop")
    assert held([*WORDS[:3], last, Chunk(usage=END.usage)], 4) == (5, True, "w0 w1 w2 done")
