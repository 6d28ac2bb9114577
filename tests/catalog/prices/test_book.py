"""The price book: which source wins, and that nothing unknown is zero."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from pilotage.catalog.instances import load_instances
from pilotage.catalog.prices import (
    Price,
    StoredBook,
    UnknownPriceError,
    bedrock_id,
    bedrock_models,
    load_price_book,
    write_book,
)
from pilotage.catalog.prices.bedrock import _ids
from pilotage.errors import UsageError

LLAMA = "meta.llama3-1-8b-instruct-v1:0"


def _price(amount: str, region: str = "us-east-1") -> Price:
    return Price(
        amount=Decimal(amount),
        unit="USD/h",
        source="refreshed",
        date=date(2026, 11, 1),
        region=region,
    )


def test_ec2_on_demand_comes_from_the_table() -> None:
    price = load_price_book().ec2("g5.2xlarge")
    assert price.amount == Decimal("1.212")
    assert (price.unit, price.date, price.region) == ("USD/h", date(2026, 7, 20), "us-east-1")


def test_prices_of_the_table_are_exact_and_above_zero() -> None:
    book = load_price_book()
    for name, instance in load_instances().items():
        if instance.usd_per_hour:
            assert float(book.ec2(name).amount) == instance.usd_per_hour > 0


@pytest.mark.parametrize(
    "name",
    [
        "g5.2xlarge:spot",
        "g5.2xlarge:one-year",
        "ml.g5.2xlarge",
        "g99.large",
        f"bedrock/{LLAMA}:model-unit",
        "bedrock/nobody.model:input",
        "machine:hour",
    ],
)
def test_an_unknown_price_says_what_to_pass(name: str) -> None:
    with pytest.raises(UnknownPriceError, match="is not known") as caught:
        load_price_book().price(name)
    assert caught.value.name == name
    assert f"--price {name}=AMOUNT" in str(caught.value)
    assert "prices.yaml" in str(caught.value)


def test_only_what_can_be_refreshed_names_the_refresh() -> None:
    book = load_price_book()
    with pytest.raises(UnknownPriceError, match="catalog refresh --region us-east-1"):
        book.sagemaker("g5.2xlarge")
    with pytest.raises(UnknownPriceError) as caught:
        book.bedrock_model_unit(LLAMA)
    assert "refresh" not in str(caught.value)


def test_flags_win_over_the_file_the_file_over_the_refresh_and_that_over_the_table(
    tmp_path: Path,
) -> None:
    prices = {name: _price("3") for name in ("g5.xlarge", "g5.2xlarge", "g5.4xlarge")}
    day = date(2026, 11, 1)
    write_book(tmp_path, StoredBook(region="us-east-1", date=day, prices=prices))
    (tmp_path / "prices.yaml").write_text("prices: {g5.xlarge: 2, g5.2xlarge: 2}\n")
    book = load_price_book(home=tmp_path, given=["g5.xlarge=1"])
    found = [book.ec2(f"g5.{size}").amount for size in ("xlarge", "2xlarge", "4xlarge")]
    assert found == [1, 2, 3]
    assert book.ec2("g5.8xlarge").source.startswith("karpenter")
    assert book.ec2("g5.xlarge").source == "given by you (--price)"
    assert str(tmp_path) in book.ec2("g5.2xlarge").source


def test_sagemaker_types_go_with_and_without_their_prefix() -> None:
    book = load_price_book(given=["ml.g5.2xlarge=1.5"])
    assert book.sagemaker("ml.g5.2xlarge") == book.sagemaker("g5.2xlarge")
    assert book.ec2("g5.2xlarge").amount == Decimal("1.212")


def test_a_region_without_any_price_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownPriceError, match="no prices are known for the region eu-west-3"):
        load_price_book("eu-west-3", home=tmp_path)


def test_other_regions_never_borrow_built_in_prices() -> None:
    book = load_price_book("eu-west-3", given=["g5.xlarge=1.3"])
    assert book.ec2("g5.xlarge").region == "eu-west-3"
    for name in ("g5.2xlarge", "alb:hour", f"bedrock/{LLAMA}:input"):
        assert book.find(name) is None


@pytest.mark.parametrize("region", ["", "mars", "../x", "us-east-1/..", "US-EAST-1"])
def test_what_is_no_region_is_refused(region: str) -> None:
    with pytest.raises(UsageError, match="no AWS region"):
        load_price_book(region)


def test_sagemaker_is_estimated_only_when_asked() -> None:
    book = load_price_book()
    estimate = book.sagemaker_estimate("ml.g5.2xlarge")
    assert estimate.low.amount == Decimal("1.212") * Decimal("1.25")
    assert estimate.high.amount == Decimal("1.212") * Decimal("1.40")
    assert estimate.high.source.startswith("estimate: 1.40 x EC2")
    assert book.find("ml.g5.2xlarge") is None


def test_whether_a_region_offers_a_type_is_known_after_a_refresh(tmp_path: Path) -> None:
    assert load_price_book(home=tmp_path).offers("g5.xlarge") is None
    stored = StoredBook(
        region="us-east-1", date=date(2026, 11, 1), offered=frozenset({"g5.xlarge"})
    )
    write_book(tmp_path, stored)
    book = load_price_book(home=tmp_path)
    assert (book.offers("g5.xlarge"), book.offers("p5.48xlarge")) == (True, False)


def test_bedrock_tokens_come_from_genai_prices() -> None:
    tokens = load_price_book().bedrock_tokens(LLAMA)
    assert tokens.output is not None
    assert (tokens.input.amount, tokens.output.amount) == (Decimal("0.22"), Decimal("0.22"))
    assert (tokens.cache_read, tokens.image) == (None, None)
    assert tokens.input.source.startswith("genai-prices ")


def test_models_of_the_hub_have_bedrock_ids_with_prices() -> None:
    assert bedrock_id("hf://meta-llama/Llama-3.1-8B-Instruct") == LLAMA
    assert bedrock_id("META-LLAMA/llama-3.1-8b-instruct") == LLAMA
    assert bedrock_id("EleutherAI/gpt-j-6b") is None
    assert set(_ids().values()) <= set(bedrock_models())


def test_tiered_prices_are_those_of_the_first_tier() -> None:
    model = bedrock_models()["global.openai.gpt-6-luna"]
    assert model.prices["input"] == Decimal("0.1")
    assert all(price >= 0 for one in bedrock_models().values() for price in one.prices.values())
