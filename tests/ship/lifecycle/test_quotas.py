"""Which quota an instance counts against."""

import pytest
from aws_front import Front, json_error
from life import Witness, lifecycle, rendered, shipment

from pilotage.ship.lifecycle.quotas import quota_of


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
