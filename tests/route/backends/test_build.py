"""From the spec to tiers."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from chat_faults import PRICE, Rows, call, chat_server

from pilotage.errors import UsageError
from pilotage.route.answer import Chunk
from pilotage.route.backends.build import build_tiers
from pilotage.route.call import Call
from pilotage.spec.routing import RoutingSpec
from pilotage.spec.tiers import BackendSpec


class Local:
    def __init__(self, spec: BackendSpec, name: str) -> None:
        self.spec = spec
        self.name = name

    async def complete(self, call: Call) -> AsyncGenerator[Chunk, None]:
        del call
        yield Chunk(text="local", finish_reason="stop")

    async def close(self) -> None:
        pass


def routing(*backends: dict[str, Any], **tier: Any) -> RoutingSpec:
    return RoutingSpec.model_validate(
        {"tiers": [{"name": "small", "backends": list(backends), **tier}]}
    )


def test_backends_with_their_names_keys_and_prices() -> None:
    async def main() -> None:
        rows = Rows()
        async with chat_server() as server:
            remote = {"kind": "openai", "url": server.url, "model": "x", "api_key_env": "A_KEY"}
            tiers = build_tiers(
                routing(remote, {"kind": "local", "weight": 0}, price={"input": 1, "output": 4}),
                sink=rows,
                local=Local,
                environ={"A_KEY": "sk-1\n"},
            )
            assert list(tiers) == ["small"]
            small = tiers["small"]
            assert [one.name for one in small.health] == ["small/0", "small/1"]
            assert (small.price.input, small.price.output) == (1, 4)
            assert not small.forwards
            async with small.answer(call()) as stream:
                async for _ in stream:
                    pass
            assert server.served[0].headers["authorization"] == "Bearer sk-1"
            await small.close()
        assert rows[0].asked_model == "x"

    asyncio.run(main())


def test_a_price_that_is_given_is_not_looked_up() -> None:
    tiers = build_tiers(
        routing({"kind": "local"}), sink=Rows(), prices={"small": PRICE}, local=Local, environ={}
    )
    assert tiers["small"].price is PRICE


@pytest.mark.parametrize("environ", [{}, {"A_KEY": "  "}])
def test_a_missing_key_is_named_with_its_tier_and_backend(environ: dict[str, str]) -> None:
    url = {"kind": "openai", "url": "http://h/v1", "model": "x"}
    with pytest.raises(UsageError) as caught:
        build_tiers(
            routing(url, {**url, "api_key_env": "A_KEY"}),
            sink=Rows(),
            prices={"small": PRICE},
            environ=environ,
        )
    for word in ("A_KEY", "small", "backend 1"):
        assert word in str(caught.value)


def test_a_local_backend_needs_a_server() -> None:
    with pytest.raises(UsageError) as caught:
        build_tiers(routing({"kind": "local"}), sink=Rows(), prices={"small": PRICE}, environ={})
    assert "small/0" in str(caught.value)


def test_backends_of_aws_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("boto3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    tiers = build_tiers(
        routing(
            {"kind": "bedrock", "model": "amazon.nova-lite-v1:0", "region": "us-east-1"},
            {"kind": "sagemaker", "endpoint": "an-endpoint", "region": "us-east-1"},
        ),
        sink=Rows(),
        prices={"small": PRICE},
        environ={},
    )
    assert [one.name for one in tiers["small"].health] == ["small/0", "small/1"]
    asyncio.run(tiers["small"].close())
