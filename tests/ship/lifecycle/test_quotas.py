"""Which quota an instance counts against."""

import json

import pytest
from aws_front import Front, Reply, json_error
from life import Witness, lifecycle, rendered, shipment

from pilotage.errors import ResourceError
from pilotage.ship.lifecycle.quotas import QUOTAS, check_quota, quota_of


@pytest.mark.parametrize(
    ("instance", "code"),
    [
        ("g5.2xlarge", "L-DB2E81BA"),
        ("g6e.12xlarge", "L-DB2E81BA"),
        ("vt1.3xlarge", "L-DB2E81BA"),
        ("p4d.24xlarge", "L-417A185B"),
        ("inf2.xlarge", "L-1945791B"),
        ("trn2.48xlarge", "L-2C3B7624"),
        ("c7i.4xlarge", "L-1216C47A"),
        ("i4i.large", "L-1216C47A"),
    ],
)
def test_the_family_says_the_quota(instance: str, code: str) -> None:
    found = quota_of(instance)
    assert found is not None
    assert found.code == code


def test_an_unknown_family_has_none() -> None:
    assert quota_of("mac2.metal") is None


def test_quotas_that_may_not_be_read_stop_nothing(front: Front) -> None:
    front.answers["GetServiceQuota"] = json_error("AccessDeniedException", "no right")
    seen = Witness()
    assert lifecycle().apply(shipment(), rendered(), agree=seen.agree, say=seen.say).applied
    assert "the quota was not checked" in seen.text


def test_an_account_without_a_quota_of_its_own_has_the_default(front: Front) -> None:
    front.answers["GetServiceQuota"] = json_error("NoSuchResourceException")
    front.answers["GetAWSDefaultServiceQuota"] = json_error("NoSuchResourceException")
    seen = Witness()
    assert lifecycle().apply(shipment(), rendered(), agree=seen.agree, say=seen.say).applied
    assert "AWS names none" in seen.text


def _quotas(front: Front, **vcpus: float) -> None:
    """Those of G and VT, on demand and on spot."""
    held = {"L-DB2E81BA": vcpus["on_demand"], "L-3819A6DF": vcpus["spot"]}
    front.answers["GetServiceQuota"] = lambda asked: Reply(
        json.dumps({"Quota": {"Value": held[asked["QuotaCode"]]}})
    )


def test_spot_counts_against_a_quota_of_its_own(front: Front) -> None:
    # Two g5.2xlarge of 8 vCPUs at first: one on demand, one on spot. Six at most.
    given = shipment(scaling={"spot_share": 1.0, "on_demand_base": 1})
    aws, seen = lifecycle().aws, Witness()
    _quotas(front, on_demand=8, spot=40)
    check_quota(aws, given, say=seen.say)
    assert seen.text == ""
    _quotas(front, on_demand=8, spot=16)
    check_quota(aws, given, say=seen.say)
    assert "L-3819A6DF" in seen.text
    assert "not for the most replicas" in seen.text
    _quotas(front, on_demand=8, spot=0)
    with pytest.raises(ResourceError, match="All G and VT Spot Instance Requests") as caught:
        check_quota(aws, given, say=seen.say)
    assert "--quota-code L-3819A6DF --desired-value 40" in str(caught.value.hint)
    # Without spot nobody asks for its quota.
    front.asked.clear()
    _quotas(front, on_demand=48, spot=0)
    check_quota(aws, shipment(), say=seen.say)
    assert [one["QuotaCode"] for one in front.of("GetServiceQuota")] == ["L-DB2E81BA"]


def test_each_family_has_one_quota_of_each_market() -> None:
    on_demand = {start for one in QUOTAS if not one.spot for start in one.families}
    assert {start for one in QUOTAS if one.spot for start in one.families} == on_demand
    assert len({one.code for one in QUOTAS}) == len(QUOTAS)
