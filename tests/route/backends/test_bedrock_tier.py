"""A tier on Bedrock as the spec makes it: found in the AWS environment, priced by the book."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from aws_calls import call_of
from aws_wire_server import Reply, Wait, WireServer, event, wire_server

from pilotage.route.attempt import Attempt, Outcome, Role
from pilotage.route.backends.build import build_tiers
from pilotage.spec.routing import RoutingSpec

pytestmark = pytest.mark.anyio

MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
USAGE = {
    "inputTokens": 10,
    "outputTokens": 100,
    "totalTokens": 1110,
    "cacheReadInputTokens": 900,
    "cacheWriteInputTokens": 100,
}
ANSWER = [
    event("contentBlockDelta", {"delta": {"text": "Hello"}, "contentBlockIndex": 0}),
    event("messageStop", {"stopReason": "end_turn"}),
    event("metadata", {"usage": USAGE, "metrics": {"latencyMs": 1}}),
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WireServer]:
    with wire_server() as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", made.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        for name in ("HTTP_PROXY", "http_proxy", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        yield made


class Rows:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.rows: list[Attempt] = []

    def record(self, attempt: Attempt) -> None:
        self.rows.append(attempt)


ROUTING = RoutingSpec.model_validate(
    {"tiers": [{"name": "big", "retries": 1, "backends": [{"kind": "bedrock", "model": MODEL}]}]}
)


async def test_an_answer_is_a_row_with_its_cost_to_the_cent(server: WireServer) -> None:
    sink = Rows()
    tier = build_tiers(ROUTING, sink=sink, environ={})["big"]
    server.will(Reply.error("ThrottlingException", 429, retry_after=0), Reply(ANSWER))
    async with tier.answer(call_of(), role=Role.ANSWER) as stream:
        text = "".join([chunk.text async for chunk in stream])
    await tier.close()
    assert text == "Hello"
    refused, answered = sink.rows
    assert (refused.outcome, refused.fault) == (Outcome.ERROR, "rate_limited")
    assert refused.cost == 0
    assert (answered.outcome, answered.asked_model) == (Outcome.OK, MODEL)
    # Haiku 4.5 in a region's profile, a million tokens: 1.1, 5.5, from the cache 0.11, into it
    # 1.375 (https://aws.amazon.com/bedrock/pricing/, as genai-prices 0.2.3 has it).
    prices = [Decimal("1.1"), Decimal("5.5"), Decimal("0.11"), Decimal("1.375")]
    counts = [10, 100, 900, 100]
    expected = sum((price * count for price, count in zip(prices, counts, strict=True)), Decimal(0))
    assert answered.cost == expected / 1_000_000


async def test_what_was_cancelled_is_a_row_and_is_billed(server: WireServer) -> None:
    sink = Rows()
    tier = build_tiers(ROUTING, sink=sink, environ={})["big"]
    server.will(Reply([ANSWER[0], Wait()]))
    async with tier.answer(call_of(), role=Role.ANSWER) as stream:
        async for chunk in stream:
            assert chunk.text == "Hello"
            break
    await tier.close()
    (row,) = sink.rows
    assert row.outcome is Outcome.CANCELLED
    assert row.usage.estimated
    assert row.cost > 0
