"""Who reaches the model."""

from typing import Any

import pytest
import shipments
from kubernetes_manifests import by_kind, captions, finance, receipts, render, to

from pilotage.errors import UsageError
from pilotage.ship.target import Shipment


def test_within_the_cluster_unless_it_is_public() -> None:
    spec = by_kind(receipts())["Service"]["spec"]
    assert spec["type"] == "ClusterIP"
    policy = by_kind(receipts())["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"][0]["from"] == [
        {"podSelector": {}},
        {"namespaceSelector": {"matchLabels": {"pilotage.dev/access": "true"}}},
    ]


def test_public_is_a_balancer_for_the_named_networks_over_https() -> None:
    kinds = by_kind(finance())
    service = kinds["Service"]
    assert service["spec"]["loadBalancerSourceRanges"] == ["198.51.100.0/24"]
    assert service["spec"]["ports"][0]["port"] == 443
    notes = service["metadata"]["annotations"]
    assert shipments.CERTIFICATE in notes.values()
    # The balancer's own addresses are not known: a list of sources would shut out its checks.
    assert "from" not in kinds["NetworkPolicy"]["spec"]["ingress"][0]
    assert not any("Plain HTTP" in one for one in render(finance()).warnings)


def test_plain_http_is_said() -> None:
    assert any("Plain HTTP" in one for one in render(receipts()).warnings)


def test_public_for_nobody_in_particular_is_refused() -> None:
    with pytest.raises(UsageError) as refused:
        render(receipts(network={"public": True}))
    assert refused.value.where == "shipping.network.allowed_cidrs"


def test_traces_may_leave_to_their_collector() -> None:
    shipment = receipts()
    serving = shipment.deployment.serving.model_copy(
        update={"otlp_endpoint": "http://collector.monitoring:4318"}
    )
    from dataclasses import replace

    told = replace(shipment, deployment=shipment.deployment.model_copy(update={"serving": serving}))
    ports = by_kind(told)["NetworkPolicy"]["spec"]["egress"][1]["ports"]
    assert [one["port"] for one in ports] == [443, 4318]


def test_weights_in_s3_have_an_identity_that_is_not_the_nodes() -> None:
    def out(shipment: Shipment) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = by_kind(shipment)["NetworkPolicy"]["spec"]["egress"]
        return [one for one in found if "to" in one]

    stored = captions()
    assert stored.deployment.model.source.startswith("s3://")
    (agent,) = out(stored)
    assert agent["to"] == [{"ipBlock": {"cidr": "169.254.170.23/32"}}]
    assert "pod-identity" in render(stored).files["README.md"]
    assert out(receipts()) == []
    assert "pod-identity" not in render(receipts()).files["README.md"]


def test_metrics_are_read_with_a_key() -> None:
    endpoint = by_kind(receipts())["ServiceMonitor"]["spec"]["endpoints"][0]
    assert endpoint["authorization"]["credentials"] == {
        "name": "pilotage-receipts-metrics",
        "key": "key",
    }


def test_a_gateway_of_kserve_is_not_ours_to_publish() -> None:
    with pytest.raises(UsageError) as refused:
        render(to("kserve", shipments.finance()))
    assert refused.value.where == "shipping.network.public"
