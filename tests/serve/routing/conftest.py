"""Real gateways over stand-ins for providers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))  # for `provider_stand_in`, which tests here import

from provider_stand_in import StandIn, standing_in
from running import RunningServer, serving

Serve = Callable[..., AbstractContextManager[RunningServer]]

KEY = "sk-stand-in-secret"


@pytest.fixture(scope="session")
def small_provider() -> Iterator[StandIn]:
    with standing_in("small-2026") as state:
        yield state


@pytest.fixture(scope="session")
def big_provider() -> Iterator[StandIn]:
    with standing_in("big-2026") as state:
        yield state


@pytest.fixture
def small(small_provider: StandIn) -> StandIn:
    """The cheap provider, as after its start."""
    small_provider.reset()
    return small_provider


@pytest.fixture
def big(big_provider: StandIn) -> StandIn:
    """The dear one."""
    big_provider.reset()
    return big_provider


def tiers(small: StandIn, big: StandIn) -> list[dict[str, Any]]:
    """Two tiers of one backend each, a hundred times apart in price."""
    return [
        {
            "name": "small",
            "price": {"input": "1", "output": "2", "cache_read": "0.5"},
            "retries": 0,
            "backends": [{"kind": "openai", "url": small.url, "model": "tiny"}],
        },
        {
            "name": "big",
            "price": {"input": "100", "output": "200", "cache_read": "50"},
            "retries": 0,
            "backends": [
                {"kind": "openai", "url": big.url, "model": "huge", "api_key_env": "BIG_KEY"}
            ],
        },
    ]


@pytest.fixture(scope="session")
def serve(
    small_provider: StandIn, big_provider: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Serve:
    """Start `pilotage serve` over both providers: ``serve(folder, policy=…)``."""

    def start(folder: Path, serving_: dict[str, Any] | None = None, **routing: Any) -> Any:
        spec = {
            "routing": {
                "tiers": tiers(small_provider, big_provider),
                "ledger": {"path": str(folder / "ledger.sqlite")},
                "max_history": 5,
                **routing,
            },
            "serving": {"max_body": "64KiB", "drain_timeout": "2s", **(serving_ or {})},
        }
        path = folder / "spec.yaml"
        path.write_text(yaml.safe_dump(spec))
        environment = {"BIG_KEY": KEY, "PILOTAGE_HOME": str(folder), "PILOTAGE_SOURCE": ""}
        return serving(str(path), environment=environment, start_s=60)

    return start
