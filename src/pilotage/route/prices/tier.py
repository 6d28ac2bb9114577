"""The price of a tier: from the spec, else from the price book; never zero for want of one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pilotage.catalog.prices import UnknownPriceError
from pilotage.route.prices.bedrock_tokens import bedrock_price
from pilotage.route.prices.hourly import amortised
from pilotage.route.prices.provider_tokens import provider_price
from pilotage.route.pricing import TierPrice
from pilotage.spec.tiers import BackendSpec, TierPriceSpec, TierSpec
from pilotage.units import printable


def tier_price(tier: TierSpec, *, region: str | None = None, home: Path | None = None) -> TierPrice:
    """What a tier's tokens cost.

    Its ``price:`` counts before all else. Without one, all its backends have to have the same
    price: Bedrock's models by the price book, others by genai-prices.

    Args:
        tier: Of the spec.
        region: AWS's, for backends that name none; that of the AWS environment if None.
        home: The Pilotage home, whose ``prices.yaml`` and refreshed prices count; None reads
            neither.

    Raises:
        UnknownPriceError: Nobody knows it; says which tier, and what to write.
        UsageError: A region is malformed.
    """
    if tier.price is not None:
        return _given(tier.price)
    first, *others = (_of_backend(tier, index, region, home) for index in range(len(tier.backends)))
    for index, other in enumerate(others, start=1):
        if replace(other, source="") != replace(first, source=""):
            raise _unknown(
                tier,
                f"its backends differ: {first.input} and {first.output} for the first, "
                f"{other.input} and {other.output} for number {index + 1}",
            )
    return first


def _given(price: TierPriceSpec) -> TierPrice:
    if price.hourly is not None and price.tokens_per_hour is not None:
        token = amortised(price.hourly, 1.0, price.tokens_per_hour)
        base = TierPrice(
            input=token,
            output=token,
            cache_read=token,
            cache_write=token,
            source=f"spec: {price.hourly} an hour over {price.tokens_per_hour:g} tokens",
        )
    elif price.input is not None and price.output is not None:
        base = TierPrice(
            input=price.input,
            output=price.output,
            cache_read=price.input,
            cache_write=price.input,
            source="spec",
        )
    else:
        raise AssertionError("the spec has checked that one of the two ways is given")
    return replace(
        base,
        cache_read=base.cache_read if price.cache_read is None else price.cache_read,
        cache_write=base.cache_write if price.cache_write is None else price.cache_write,
        image=base.image if price.image is None else price.image,
        request=base.request if price.request is None else price.request,
    )


def _of_backend(tier: TierSpec, index: int, region: str | None, home: Path | None) -> TierPrice:
    backend = tier.backends[index]
    found = None
    if backend.kind == "bedrock" and backend.model is not None:
        found = bedrock_price(backend.model, region=backend.region or region, home=home)
    elif backend.kind == "openai" and backend.model is not None:
        found = provider_price(
            backend.model, provider=tier.provider, url=backend.url, region=region, home=home
        )
    if found is None:
        raise _unknown(tier, f"nobody says what {_named(backend)} costs")
    return found


def _named(backend: BackendSpec) -> str:
    name = backend.model or backend.endpoint or "the server's own model"
    return f"{printable(name[:120])} ({backend.kind})"


def _unknown(tier: TierSpec, why: str) -> UnknownPriceError:
    hourly = {"local", "sagemaker"} & {backend.kind for backend in tier.backends} or any(
        ":provisioned-model/" in (backend.model or "") for backend in tier.backends
    )
    each = "price: {input: 0.25, output: 1.25} (US dollars a million tokens)"
    by_hour = "price: {hourly: 1.52, tokens_per_hour: 2000000} (US dollars, and its tokens)"
    provider = "; or the provider: whose prices hold, such as openai"
    looked_up = any(backend.kind == "openai" for backend in tier.backends)
    return UnknownPriceError(
        f"the price is not known: {why}",
        name=tier.name,
        where=f"tier {tier.name}",
        hint=f"Write into the tier {by_hour if hourly else each}"
        + (provider if looked_up and tier.provider is None else ""),
    )
