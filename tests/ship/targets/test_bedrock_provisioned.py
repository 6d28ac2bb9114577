import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import boto3
import pytest
from api_requests import problems
from bedrock_api import ACCOUNT, BedrockApi
from botocore.config import Config
from goldens import check_golden
from hosted_shipments import units

from pilotage.catalog.prices import Price, PriceBook, UnknownPriceError, load_price_book
from pilotage.errors import PilotageError, ServeError, UsageError
from pilotage.ship.lifecycle import Lifecycle
from pilotage.ship.lifecycle.waiting import TooLongError, Waiting
from pilotage.ship.rules import check_rules
from pilotage.ship.targets import target_of
from pilotage.ship.targets.bedrock_provisioned import (
    BedrockLifecycle,
    BedrockProvisionedTarget,
    Spend,
    ThroughputRequest,
    cheapest,
    create,
    delete,
    offers,
    spend_of,
    status,
)

MODEL = "meta.llama3-1-8b-instruct-v1:0"
CUSTOM = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:custom-model/{MODEL}/abcdefghijkl"
PRICES = {
    f"bedrock/{MODEL}:{kind}": Price(
        amount=Decimal(amount),
        unit="USD/h",
        source="an offer",
        date=date(2026, 11, 22),
        region="us-east-1",
    )
    for kind, amount in (
        ("model-unit", "24"),
        ("model-unit-one-month", "21.18"),
        ("model-unit-six-months", "13.08"),
    )
}
BOOK = PriceBook("us-east-1", PRICES.get)
BARE = load_price_book()
TAGS = {"pilotage:deployment": "house", "pilotage:target": "bedrock-provisioned"}
REQUEST = ThroughputRequest(name="pilotage-house", model_id=MODEL, units=3, tags=TAGS)
QUICK = Waiting(poll_s=0.005, limit_s=5.0)


@pytest.fixture
def api():
    with BedrockApi() as running:
        yield running


def client_to(api):
    return boto3.client(
        "bedrock",
        region_name="us-east-1",
        endpoint_url=api.url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture
def client(api):
    return client_to(api)


def buy(client, request=REQUEST, *, agreed=True):
    asked = []

    def confirm(spend):
        asked.append(spend)
        return agreed

    found = create(client, request, confirm, spend=spend_of(request, BOOK), waiting=QUICK)
    return found, asked


def test_the_request_is_as_kept():
    check_golden("bedrock-house", BedrockProvisionedTarget(BOOK).render(units()).files)


@pytest.mark.parametrize("months", [0.5, 1, 6, 12])
def test_botocore_would_send_it(months):
    shipment = units()
    made = BedrockProvisionedTarget(BOOK, months=months).render(shipment)
    request = json.loads(made.files["throughput.json"])
    assert problems("bedrock", "CreateProvisionedModelThroughput", request) == ""
    assert check_rules(made, shipment) == []
    assert ThroughputRequest.read(made.files["throughput.json"]).as_api() == request


def test_botocore_would_find_a_number_of_units_that_is_text():
    request = {**REQUEST.as_api(), "modelUnits": "3"}
    assert "Invalid type" in problems("bedrock", "CreateProvisionedModelThroughput", request)


@pytest.mark.parametrize(
    ("months", "commitment"),
    # 24 x 0.5 = 12 against a month at 21.18; then whole months; six at 13.08 are 78.48 as soon as
    # four single ones are 84.72.
    [(0.5, None), (1, "OneMonth"), (3, "OneMonth"), (4, "SixMonths"), (12, "SixMonths")],
)
def test_the_commitment_is_what_costs_least_for_as_long_as_it_is_needed(months, commitment):
    chosen = cheapest(offers(MODEL, 3, BOOK), months)
    assert chosen.commitment == commitment


def test_costs_are_exact():
    spend = spend_of(replace(REQUEST, commitment="SixMonths"), BOOK)
    assert spend.monthly == Decimal("28645.20")
    assert spend.committed == Decimal("171871.20")
    assert "cannot be deleted before its end: $171,871.20 are owed" in spend.sentences()[1]
    hourly = spend_of(REQUEST, BOOK)
    assert (hourly.monthly, hourly.committed) == (Decimal(52560), 0)
    assert "until it is deleted" in hourly.sentences()[1]


def test_an_unknown_price_is_never_zero():
    with pytest.raises(UnknownPriceError, match="model-unit"):
        spend_of(REQUEST, BARE)
    made = BedrockProvisionedTarget(BARE).render(units())
    assert "commitmentDuration" not in json.loads(made.files["throughput.json"])
    assert any("nobody told" in note for note in made.notes)


def test_units_of_a_custom_model_cost_what_its_base_costs():
    assert spend_of(replace(REQUEST, model_id=CUSTOM), BOOK).usd_per_unit_hour == 24
    tier = {"name": "own", "backends": [{"kind": "bedrock", "model": CUSTOM}]}
    made = BedrockProvisionedTarget(BOOK).render(units(routing={"tiers": [tier]}))
    assert json.loads(made.files["throughput.json"])["modelId"] == CUSTOM


def test_a_model_that_bedrock_does_not_sell_is_refused():
    with pytest.raises(UsageError, match="no model units") as caught:
        target_of("bedrock-provisioned").render(units(model={"source": "hf://nobody/nothing"}))
    assert caught.value.where == "model.source"


@pytest.mark.parametrize(
    "change",
    ["", "[]", "{}", '{"modelUnits": 0}', '{"modelUnits": true}', '{"modelUnits": 1}'],
)
def test_a_file_that_is_no_request_is_refused(change):
    with pytest.raises(UsageError):
        ThroughputRequest.read(change)


def test_bought_once_it_is_confirmed_and_waited_for(api, client):
    found, asked = buy(client)
    assert found.state == "InService"
    assert [spend.monthly for spend in asked] == [Decimal(52560)]
    (sent,) = api.created
    assert sent.pop("clientRequestToken")
    assert sent == REQUEST.as_api()


def test_without_a_yes_nothing_is_bought(api, client):
    found, asked = buy(client, agreed=False)
    assert found is None
    assert len(asked) == 1
    assert api.created == []


def test_a_second_time_nothing_is_asked_or_bought(api, client):
    buy(client)
    found, asked = buy(client)
    assert found.state == "InService"
    assert asked == []
    assert len(api.created) == 1


def test_what_was_interrupted_after_the_purchase_goes_on(api, client):
    client.create_provisioned_model_throughput(**REQUEST.as_api())
    found, asked = buy(client)
    assert (found.state, asked) == ("InService", [])


def test_another_number_of_units_is_refused_not_bought(api, client):
    buy(client)
    with pytest.raises(PilotageError, match="other modelUnits, commitmentDuration"):
        buy(client, replace(REQUEST, units=4, commitment="OneMonth"))
    assert len(api.created) == 1


def test_a_strangers_is_never_touched(api, client):
    buy(client, replace(REQUEST, tags={"pilotage:deployment": "other"}))
    with pytest.raises(UsageError, match="did not make"):
        buy(client)
    with pytest.raises(UsageError, match="did not make"):
        delete(client, "pilotage-house", owner="house")
    assert "pilotage-house" in api.kept


def test_what_fails_says_why_and_what_to_do():
    with (
        BedrockApi(state="Failed") as api,
        pytest.raises(ServeError, match=r"no capacity.*quota"),
    ):
        buy(client_to(api))


def test_a_wait_ends():
    with BedrockApi(rounds=10_000) as api:
        client = client_to(api)
        with pytest.raises(TooLongError):
            create(
                client,
                REQUEST,
                lambda _: True,
                spend=spend_of(REQUEST, BOOK),
                waiting=Waiting(poll_s=0.005, limit_s=0.02),
            )


def test_aws_s_refusal_is_told(api, client):
    api.refuse = (400, "ServiceQuotaExceededException", "model units: 0")
    with pytest.raises(PilotageError, match="model units: 0"):
        buy(client)


def test_a_spend_of_something_else_is_a_mistake(client):
    wrong = Spend(units=1, commitment=None, usd_per_unit_hour=Decimal(1), source="x")
    with pytest.raises(ValueError, match="not that of the request"):
        create(client, REQUEST, lambda _: True, spend=wrong)


def test_deleting_by_the_hour_is_at_once_and_twice_is_nothing(api, client):
    buy(client)
    assert delete(client, "pilotage-house", owner="house") is True
    assert status(client, "pilotage-house") is None
    assert delete(client, "pilotage-house", owner="house") is False


def test_a_commitment_is_not_deleted_before_its_end(api, client):
    buy(client, replace(REQUEST, commitment="SixMonths"))
    with pytest.raises(UsageError, match=r"before 2027-05-22; it is paid until then"):
        delete(client, "pilotage-house", now=datetime(2027, 5, 1, tzinfo=UTC))
    assert not [one for one in api.asked if one[0] == "DELETE"]
    assert delete(client, "pilotage-house", now=datetime(2027, 6, 1, tzinfo=UTC)) is True


def lifecycle_on(api):
    return BedrockLifecycle(lambda _: client_to(api), BOOK, QUICK)


def test_the_whole_way(api):
    shipment, said = units(), []
    rendered = BedrockProvisionedTarget(BOOK, months=0.5).render(shipment)
    lifecycle = lifecycle_on(api)
    assert isinstance(target_of("bedrock-provisioned"), Lifecycle)
    assert lifecycle.status(shipment).absent

    refused = lifecycle.apply(shipment, rendered, agree=lambda _: False, say=said.append)
    assert (refused.agreed, refused.applied, api.created) == (False, False, [])

    shown = []
    done = lifecycle.apply(
        shipment, rendered, agree=lambda one: bool(shown.append(one)) or True, say=said.append
    )
    assert done.applied
    assert done.status.state == "InService"
    assert "$52,560.00 a month" in shown[0].notes[0]
    assert lifecycle.diff(shipment, rendered).empty

    again = lifecycle.apply(shipment, rendered, agree=pytest.fail, say=said.append)
    assert not again.applied
    assert len(api.created) == 1

    other = BedrockProvisionedTarget(BOOK, months=1).render(shipment)
    assert lifecycle.diff(shipment, other).replaced[0].fields == ("commitmentDuration",)
    with pytest.raises(PilotageError, match="other commitmentDuration"):
        lifecycle.apply(shipment, other, agree=pytest.fail, say=said.append)

    assert lifecycle.destroy(shipment, agree=lambda _: False, say=said.append).agreed is False
    gone = lifecycle.destroy(shipment, agree=lambda _: True, say=said.append)
    assert gone.existed
    assert gone.hours is not None
    assert api.kept == {}
    assert not lifecycle.destroy(shipment, agree=pytest.fail, say=said.append).existed


def test_without_a_price_nothing_is_bought(api):
    shipment = units()
    rendered = BedrockProvisionedTarget(BARE).render(shipment)
    lifecycle = BedrockLifecycle(lambda _: client_to(api), BARE, QUICK)
    with pytest.raises(UnknownPriceError, match="nothing is bought"):
        lifecycle.apply(shipment, rendered, agree=pytest.fail, say=print)
    assert api.created == []
