"""Tiers from the spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pilotage.errors import UsageError
from pilotage.route.attempt import AttemptSink
from pilotage.route.backends.backend import Backend
from pilotage.route.backends.openai import OpenAIBackend
from pilotage.route.backends.tier import Tier
from pilotage.route.pricing import TierPrice
from pilotage.spec.routing import RoutingSpec
from pilotage.spec.tiers import BackendSpec, TierSpec

LocalBackends = Callable[[BackendSpec, str], Backend]
"""Makes a backend of a model of this server, given its spec and name."""


def build_tiers(
    routing: RoutingSpec,
    *,
    sink: AttemptSink,
    prices: Mapping[str, TierPrice] | None = None,
    local: LocalBackends | None = None,
    environ: Mapping[str, str],
) -> dict[str, Tier]:
    """The tiers of a ``routing:`` section, in its order.

    Args:
        routing: The section.
        sink: Gets their attempts.
        prices: By tier; those missing are looked up (`pilotage.route.prices.tier_price`).
        local: Makes a backend of this server's own model, given its spec and name; None where
            there is no server.
        environ: Environment variables, for the keys.

    Raises:
        UsageError: An API key is not there, or a local backend without a server; names the tier,
            the backend and the variable.
        UnknownPriceError: Nobody says what a tier costs.
    """
    return {
        tier.name: Tier(
            tier,
            [
                _backend(one, f"{tier.name}/{index}", local, environ)
                for index, one in enumerate(tier.backends)
            ],
            _price(tier, prices or {}),
            sink,
        )
        for tier in routing.tiers
    }


def _price(tier: TierSpec, prices: Mapping[str, TierPrice]) -> TierPrice:
    if tier.name in prices:
        return prices[tier.name]
    # Imported here: the price books are read only where they are asked.
    from pilotage.route.prices import tier_price  # noqa: PLC0415

    return tier_price(tier)


def _backend(
    spec: BackendSpec, name: str, local: LocalBackends | None, environ: Mapping[str, str]
) -> Backend:
    """A backend; what its kind needs is imported only where one of its kind is there."""
    match spec.kind:
        case "local":
            if local is None:
                raise UsageError(
                    "a local backend needs a server that runs its model",
                    where=name,
                    hint="Start it with pilotage serve, or give a backend with an address",
                )
            return local(spec, name)
        case "openai":
            assert spec.url is not None
            assert spec.model is not None
            return OpenAIBackend(
                name,
                url=spec.url,
                model=spec.model,
                api_key=_key(spec, name, environ),
                timeout_s=spec.timeout,
                first_token_timeout_s=spec.first_token_timeout,
                max_concurrency=spec.max_concurrency,
            )
        case "bedrock":
            from pilotage.route.backends.bedrock import BedrockBackend  # noqa: PLC0415

            assert spec.model is not None
            return BedrockBackend(
                name,
                model_id=spec.model,
                region=spec.region,
                timeout_s=spec.timeout,
                first_token_timeout_s=spec.first_token_timeout,
                max_concurrency=spec.max_concurrency,
            )
        case "sagemaker":
            from pilotage.route.backends.sagemaker import SageMakerBackend  # noqa: PLC0415

            assert spec.endpoint is not None
            return SageMakerBackend(
                name,
                endpoint=spec.endpoint,
                model=spec.model,
                region=spec.region,
                timeout_s=spec.timeout,
                first_token_timeout_s=spec.first_token_timeout,
                max_concurrency=spec.max_concurrency,
            )


def _key(spec: BackendSpec, name: str, environ: Mapping[str, str]) -> str | None:
    if spec.api_key_env is None:
        return None
    key = environ.get(spec.api_key_env, "").strip()
    if not key:
        raise UsageError(
            f"the environment variable {spec.api_key_env}, which should hold the API key of "
            f"backend {name.rpartition('/')[2]} of tier {name.rpartition('/')[0]}, is not set",
            where=name,
            hint=f"Set {spec.api_key_env}, or leave api_key_env out for a server without keys",
        )
    return key
