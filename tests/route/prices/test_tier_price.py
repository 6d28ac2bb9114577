"""What tiers cost, and that nobody is told a price that nobody knows."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.catalog.prices import UnknownPriceError, bedrock_models
from pilotage.errors import UsageError
from pilotage.route.answer import Usage
from pilotage.route.prices import amortised, tier_price
from pilotage.route.prices.bedrock_ids import price_ids
from pilotage.route.prices.token_prices import token_price
from pilotage.spec.tiers import BackendSpec, TierPriceSpec, TierSpec

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
THROUGHPUT = "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefghij12"


@pytest.fixture(autouse=True)
def no_region(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)


def tier_of(*backends: BackendSpec, **fields: Any) -> TierSpec:
    return TierSpec(name="big", backends=backends or (BackendSpec(),), **fields)


def bedrock(model: str, region: str | None = None) -> BackendSpec:
    return BackendSpec(kind="bedrock", model=model, region=region)


def openai(model: str, url: str = "https://api.openai.com/v1") -> BackendSpec:
    return BackendSpec(kind="openai", model=model, url=url)


def test_the_spec_counts_before_all_else() -> None:
    spec = TierPriceSpec.model_validate({"input": "0.25", "output": 1.25, "image": 0.001})
    price = tier_price(tier_of(openai("gpt-4o-mini"), price=spec))
    assert (price.input, price.output, price.image) == (
        Decimal("0.25"),
        Decimal("1.25"),
        Decimal("0.001"),
    )
    assert price.source == "spec"
    assert (price.cache_read, price.cache_write) == (price.input, price.input)


def test_a_price_of_the_cache_may_be_given_and_may_be_nothing() -> None:
    spec = TierPriceSpec.model_validate({"input": 1, "output": 2, "cache_read": 0})
    price = tier_price(tier_of(price=spec))
    assert (price.cache_read, price.cache_write) == (Decimal(0), Decimal(1))


def test_hours_are_shared_out_to_tokens() -> None:
    spec = TierPriceSpec.model_validate({"hourly": "1.52", "tokens_per_hour": 2_000_000})
    price = tier_price(tier_of(price=spec))
    assert price.input == price.output == price.cache_read == price.cache_write
    assert price.input == Decimal("0.76")
    hour = Usage(prompt_tokens=1_500_000, completion_tokens=500_000)
    assert price.cost(hour) == Decimal("1.52")
    assert "1.52 an hour" in price.source


@given(
    st.decimals(min_value="0.01", max_value=1000, places=4),
    st.floats(min_value=0.01, max_value=10_000),
    st.integers(min_value=1, max_value=10**13),
)
def test_what_was_paid_is_shared_out_whole(hourly: Decimal, hours: float, tokens: int) -> None:
    paid = hourly * Decimal(str(hours))
    told = amortised(hourly, hours, tokens) * tokens / 1_000_000
    assert paid <= told * (1 + Decimal("1e-20"))
    assert told - paid <= Decimal("1e-9") * tokens / 1_000_000 + paid * Decimal("1e-20")


def test_hours_without_tokens_have_no_price() -> None:
    with pytest.raises(UsageError, match="no price a token"):
        amortised(Decimal(1), 5, 0)


@pytest.mark.parametrize(
    "model",
    [
        SONNET,
        f"us.{SONNET}",
        f"eu.{SONNET}",
        f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET}",
        f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.{SONNET}",
        "us.anthropic.claude-sonnet-4-5-20250929",
    ],
)
def test_every_name_of_a_model_has_its_price(model: str) -> None:
    price = tier_price(tier_of(bedrock(model)))
    known = bedrock_models()[f"regional.{SONNET}"].prices
    assert (price.input, price.output) == (known["input"], known["output"])
    assert (price.cache_read, price.cache_write) == (known["cache-read"], known["cache-write"])
    assert price.source.startswith("genai-prices")
    assert "us-east-1" in price.source


def test_global_profiles_have_their_own() -> None:
    regional = tier_price(tier_of(bedrock(f"us.{SONNET}")))
    everywhere = tier_price(tier_of(bedrock(f"global.{SONNET}")))
    assert everywhere.input < regional.input
    # No model but those with a global price of their own.
    with pytest.raises(UnknownPriceError):
        tier_price(tier_of(bedrock("global.meta.llama3-3-70b-instruct-v1:0")))


def test_cached_tokens_are_billed() -> None:
    # litellm#29145: $0 for them. litellm#8514: a few dollars where AWS asked for hundreds.
    price = tier_price(tier_of(bedrock(f"us.{SONNET}")))
    usage = Usage(
        prompt_tokens=1_000_000,
        completion_tokens=10_000,
        cache_read_tokens=700_000,
        cache_write_tokens=200_000,
    )
    known = bedrock_models()[f"regional.{SONNET}"].prices
    expected = (
        known["input"] * Decimal("0.1")
        + known["cache-read"] * Decimal("0.7")
        + known["cache-write"] * Decimal("0.2")
        + known["output"] * Decimal("0.01")
    )
    assert price.cost(usage) == expected
    assert price.cost(usage) > 0


def test_no_price_of_the_cache_means_the_prompts() -> None:
    price = tier_price(tier_of(bedrock("meta.llama3-3-70b-instruct-v1:0")))
    assert (price.cache_read, price.cache_write) == (price.input, price.input)
    cached = Usage(prompt_tokens=1_000_000, cache_read_tokens=1_000_000)
    assert price.cost(cached) == price.input > 0


@pytest.mark.parametrize("nothing", [None, Decimal(0)])
def test_a_zero_in_the_data_is_a_gap(nothing: Decimal | None) -> None:
    one = Decimal(1)
    assert token_price(source="", input=nothing, output=one) is None
    assert token_price(source="", input=one, output=nothing) is None
    price = token_price(source="", input=one, output=one, cache_read=nothing, cache_write=nothing)
    assert price is not None
    assert (price.cache_read, price.cache_write) == (one, one)


@given(st.sampled_from(sorted(bedrock_models())))
def test_every_model_of_the_book_is_found_as_itself(name: str) -> None:
    model = name.removeprefix("regional.")
    candidates = [one for one in price_ids(model, bedrock_models()) if one in bedrock_models()]
    assert candidates[0] in {name, model}
    stems = {one.removeprefix("regional.").rpartition("-v")[0] or one for one in candidates}
    assert len(stems) == 1, "no other model"


def test_versions_are_not_mixed() -> None:
    known = ["regional.anthropic.claude-3-5-sonnet-v2:0", "mistral.mistral-7b-instruct-v0:2"]
    assert known[0] not in price_ids("us.anthropic.claude-3-5-sonnet-v1:0", known)
    assert known[0] not in price_ids("us.anthropic.claude-3-5-sonnet", known)
    assert known[1] not in price_ids("mistral.mistral-7b-instruct-v0:3", known)
    assert known[1] in price_ids("mistral.mistral-7b-instruct-v0", known)


@pytest.mark.parametrize(
    ("backend", "hint"),
    [
        (bedrock("nobody.model-v1:0"), "price: {input:"),
        (bedrock("not a model"), "price: {input:"),
        (bedrock(THROUGHPUT), "tokens_per_hour"),
        (bedrock("us.cohere.embed"), "price: {input:"),
        (bedrock("amazon.titan-embed-text-v1"), "price: {input:"),
        (openai("gpt-4o-mini", "http://127.0.0.1:8000/v1"), "provider:"),
        (openai("gpt-of-next-year"), "provider:"),
        (BackendSpec(kind="sagemaker", endpoint="mine"), "tokens_per_hour"),
        (BackendSpec(), "tokens_per_hour"),
    ],
)
def test_an_unknown_price_says_which_tier_and_what_to_write(
    backend: BackendSpec, hint: str
) -> None:
    with pytest.raises(UnknownPriceError) as caught:
        tier_price(tier_of(backend))
    assert caught.value.name == "big"
    assert caught.value.where == "tier big"
    assert hint in (caught.value.hint or "")


def test_prices_of_one_region_are_not_anothers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = bedrock("meta.llama3-3-70b-instruct-v1:0", "eu-central-1")
    with pytest.raises(UnknownPriceError):
        tier_price(tier_of(model))
    elsewhere = tier_of(bedrock("meta.llama3-3-70b-instruct-v1:0"))
    with pytest.raises(UnknownPriceError):
        tier_price(elsewhere, region="eu-central-1")
    assert tier_price(elsewhere).input > 0
    (tmp_path / "config").write_text("[default]\nregion = eu-central-1\n")
    with pytest.raises(UnknownPriceError):
        tier_price(elsewhere)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert tier_price(elsewhere).input > 0
    name = "bedrock/meta.llama3-3-70b-instruct-v1:0"
    (tmp_path / "prices.yaml").write_text(f"prices:\n  {name}:input: 0.9\n  {name}:output: 0.95\n")
    price = tier_price(tier_of(model), home=tmp_path)
    assert (price.input, price.output) == (Decimal("0.9"), Decimal("0.95"))


def test_other_providers_by_their_address_or_their_name() -> None:
    by_address = tier_price(tier_of(openai("gpt-4o-mini")))
    assert by_address.input == Decimal("0.15")
    assert by_address.output == Decimal("0.6")
    assert by_address.cache_read == Decimal("0.075")
    assert "openai/gpt-4o-mini" in by_address.source
    mirror = openai("gpt-4o-mini", "http://127.0.0.1:8000/v1")
    assert tier_price(tier_of(mirror, provider="openai")) == by_address
    with pytest.raises(UnknownPriceError, match="nobody says"):
        tier_price(tier_of(mirror, provider="a-provider-of-nobody"))


def test_bedrock_under_its_openai_address_has_bedrocks_prices() -> None:
    model = "openai.gpt-oss-20b-1:0"
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1"
    assert tier_price(tier_of(openai(model, url))) == tier_price(tier_of(bedrock(model)))
    with pytest.raises(UnknownPriceError):
        tier_price(tier_of(openai(model, url.replace("us-east-1", "eu-west-1"))))


def test_backends_of_one_tier_have_one_price() -> None:
    small, large = openai("gpt-4o-mini"), openai("gpt-4o")
    assert tier_price(tier_of(small, small)).input == Decimal("0.15")
    with pytest.raises(UnknownPriceError, match=r"its backends differ: 0\.15 and 0\.6"):
        tier_price(tier_of(small, large))
