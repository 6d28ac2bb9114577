"""A refresh against moto's EC2 over HTTP and a stand-in of the Price List API."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from aws_stand_in import PriceListStandIn, instance, product
from moto.server import ThreadedMotoServer

from pilotage.catalog.instances import load_instances
from pilotage.catalog.prices import fetch_prices, load_price_book, write_book
from pilotage.errors import PilotageError, UsageError

PRODUCTS = {
    "AmazonEC2": [
        product(instance("g5.2xlarge"), usd="1.2120000000", year="0.7640000000"),
        product(instance("g4dn.xlarge"), usd="0.5260000000"),
        product(instance("t2.micro"), usd="0.0116000000"),
        product({"usagetype": "EU-NatGateway-Hours"}, usd="0.048"),
        product({"usagetype": "EU-NatGateway-Bytes"}, usd="0.048", unit="GB"),
    ],
    "AmazonSageMaker": [
        product({"instanceName": "ml.g5.2xlarge", "component": "Hosting"}, usd="1.515"),
        product({"instanceName": "ml.g5.2xlarge", "component": "Training"}, usd="1.6"),
    ],
    "AWSELB": [
        product({"usagetype": "EU-LoadBalancerUsage"}, usd="0.0252"),
        product({"usagetype": "EU-LCUUsage"}, usd="0.008", unit="LCU-Hrs"),
    ],
}


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(
    moto_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PriceListStandIn]:
    nowhere = str(tmp_path / "none")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIATESTING",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
        "AWS_CONFIG_FILE": nowhere,
        "AWS_SHARED_CREDENTIALS_FILE": nowhere,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_EC2": moto_url,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with PriceListStandIn(PRODUCTS).running() as prices:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", prices.url)
        yield prices


def test_a_refresh_brings_every_kind_of_price(aws: PriceListStandIn, tmp_path: Path) -> None:
    book = fetch_prices("eu-west-1")
    write_book(tmp_path, book)
    prices = load_price_book("eu-west-1", home=tmp_path)
    assert prices.ec2("g5.2xlarge").amount == Decimal("1.212")
    assert prices.ec2("g5.2xlarge", "one-year").amount == Decimal("0.764")
    assert prices.sagemaker("g5.2xlarge").amount == Decimal("1.515")
    assert prices.price("nat:gb").amount == Decimal("0.048")
    assert prices.price("alb:lcu-hour").amount == Decimal("0.008")
    assert prices.ec2("g4dn.xlarge", "spot").amount > 0
    assert prices.offers("g4dn.xlarge") is True
    assert prices.find("g4dn.xlarge:one-year") is None
    price = prices.ec2("g5.2xlarge")
    assert (price.source, price.region) == ("AWS Price List API", "eu-west-1")
    assert price.date == book.date
    # Only types of the catalog: t2.micro is none.
    assert "t2.micro" not in book.prices
    assert book.offered is not None
    assert book.offered <= set(load_instances())
    # All pages, and of this region only.
    assert any("NextToken" in request for request in aws.asked)
    for request in aws.asked:
        fields = {one["Field"]: one["Value"] for one in request["Filters"]}
        assert fields["regionCode"] == "eu-west-1"


def test_the_region_comes_from_the_environment(
    aws: PriceListStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PriceListStandIn({}).running() as empty:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", empty.url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
        with pytest.raises(PilotageError, match="no prices of us-west-2"):
            fetch_prices()
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        with pytest.raises(PilotageError, match="no prices of us-east-1"):
            fetch_prices()
    assert not aws.asked


def test_missing_credentials_are_one_clear_line(
    aws: PriceListStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(UsageError, match="no AWS credentials were found") as caught:
        fetch_prices("us-east-1")
    assert "\n" not in str(caught.value)
    assert not aws.asked


def test_an_unknown_profile_is_one_clear_line(aws: PriceListStandIn) -> None:
    with pytest.raises(UsageError, match='no AWS profile "nobody"'):
        fetch_prices("us-east-1", "nobody")
    assert not aws.asked


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("AccessDeniedException", UsageError, "pricing:GetProducts"),
        ("UnrecognizedClientException", UsageError, "does not accept the credentials"),
        ("ValidationException", PilotageError, "refused the request"),
    ],
)
def test_what_aws_refuses_is_one_clear_line(
    aws: PriceListStandIn, code: str, kind: type[PilotageError], words: str
) -> None:
    aws.fail = code
    with pytest.raises(kind, match=words) as caught:
        fetch_prices("us-east-1")
    assert "\n" not in str(caught.value)


def test_a_region_that_the_list_does_not_have_is_an_error(
    aws: PriceListStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PriceListStandIn({}).running() as empty:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", empty.url)
        with pytest.raises(PilotageError, match="has no prices of eu-west-9"):
            fetch_prices("eu-west-9")
    assert not aws.asked


def test_a_dead_endpoint_is_one_clear_line(
    aws: PriceListStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(PilotageError, match="does not answer"):
        fetch_prices("us-east-1")
    assert not aws.asked


def test_without_boto3_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    with pytest.raises(UsageError, match=r"pip install 'pilotage\[aws\]'"):
        fetch_prices("us-east-1")
