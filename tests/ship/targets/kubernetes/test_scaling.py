"""Which autoscaler, on which query, and what it cannot do is said."""

import re
from typing import Any

import pytest
from kubernetes_manifests import by_kind, receipts, render, resized

from pilotage.ship.target import Shipment
from pilotage.ship.targets.kubernetes.signals import signal_of

PODS = "pilotage-receipts(-predictor)?-[a-z0-9]+-[a-z0-9]{5}"
PROMISED = receipts().deployment.slo.e2e_p99 or 0.0
"""Of the example; a new replica comes at four fifths of it."""


def trigger(shipment: Shipment, name: str = "load") -> dict[str, Any]:
    spec = by_kind(shipment)["ScaledObject"]["spec"]
    return next(one for one in spec["triggers"] if one["name"] == name)


def test_a_gauge_of_a_pod_is_an_hpas() -> None:
    kinds = by_kind(receipts(scaling={"metric": "queue", "target": 2.5}))
    spec = kinds["HorizontalPodAutoscaler"]["spec"]
    assert "ScaledObject" not in kinds
    metric = spec["metrics"][0]["pods"]
    assert metric["metric"]["name"] == "pilotage_queue_requests"
    assert metric["target"] == {"type": "AverageValue", "averageValue": "2500m"}
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 6)


@pytest.mark.parametrize(
    ("metric", "within", "target", "kind"),
    [
        ("p90_latency", "histogram_quantile(0.9, ", f"{0.8 * PROMISED:g}", "Value"),
        ("tokens_in_flight", "pilotage_kv_cache_usage_ratio", "0.8", "AverageValue"),
        ("requests", "60 * sum(rate(pilotage_requests_total", "960", "AverageValue"),
        ("gpu", "avg(DCGM_FI_DEV_GPU_UTIL", "60", "Value"),
    ],
)
def test_a_query_is_kedas(metric: str, within: str, target: str, kind: str) -> None:
    shipment = receipts(scaling={"metric": metric})
    found = trigger(shipment)
    assert within in found["metadata"]["query"]
    assert found["metadata"]["threshold"] == target
    assert found["metricType"] == kind
    assert "HorizontalPodAutoscaler" not in by_kind(shipment)
    assert (
        'namespace="default",pod=~"pilotage-receipts(-predictor)?-[a-z0-9]+-[a-z0-9]{5}"'
        in found["metadata"]["query"]
    )


def test_another_deployment_of_a_longer_name_is_not_counted() -> None:
    query = trigger(receipts(scaling={"metric": "p90_latency"}))["metadata"]["query"]
    (pattern,) = re.findall(r'pod=~"([^"]+)"', query)
    assert re.fullmatch(pattern, "pilotage-receipts-6d4cf56db6-x2x7p")
    assert re.fullmatch(pattern, "pilotage-receipts-predictor-6d4cf56db6-x2x7p")
    assert not re.fullmatch(pattern, "pilotage-receipts-eu-6d4cf56db6-x2x7p")
    assert not re.fullmatch(pattern, "pilotage-receipts-eu-predictor-6d4cf56db6-x2x7p")


def test_gpus_are_found_however_prometheus_names_the_exporters_labels() -> None:
    query = trigger(receipts(scaling={"metric": "gpu"}))["metadata"]["query"]
    assert query == (
        f'avg(DCGM_FI_DEV_GPU_UTIL{{namespace="default",pod=~"{PODS}"}} or '
        f'DCGM_FI_DEV_GPU_UTIL{{exported_namespace="default",exported_pod=~"{PODS}"}})'
    )


def test_the_metrics_in_the_queries_are_those_that_are_exposed() -> None:
    from pilotage.serve.telemetry.metrics import Metrics

    exposed = Metrics(["m"]).render().decode()
    for name in (
        "pilotage_queue_requests",
        "pilotage_queue_tokens",
        "pilotage_kv_cache_usage_ratio",
        "pilotage_kv_cache_tokens",
        "pilotage_requests_total",
        "pilotage_build_info",
        "gen_ai_server_time_to_first_token_seconds",
        "gen_ai_server_request_duration_seconds",
    ):
        assert f"# TYPE {name.removesuffix('_total')}" in exposed or f"# TYPE {name}" in exposed


def test_without_requests_a_latency_is_nothing_and_not_nan() -> None:
    query = trigger(receipts(scaling={"metric": "p90_latency"}))["metadata"]["query"]
    assert query.endswith("> 0) or vector(0)")


def test_zero_replicas_are_woken_by_what_stands_in_front() -> None:
    shipment = resized(receipts(scaling={"min": 0}), min_replicas=0)
    found = render(shipment)
    assert by_kind(shipment)["ScaledObject"]["spec"]["minReplicaCount"] == 0
    wake = trigger(shipment, "wake")["metadata"]
    assert "nginx_ingress_controller_requests" in wake["query"]
    assert wake["activationThreshold"] == "0"
    # At none no series of ours exists, which must not be an error.
    assert trigger(shipment)["metadata"]["ignoreNullValues"] == "true"
    assert any("503" in warning and "420 s" in warning for warning in found.warnings)


def test_a_prometheus_that_knows_nothing_does_not_shrink_what_runs() -> None:
    shipment = receipts(scaling={"metric": "requests"})
    spec = by_kind(shipment)["ScaledObject"]["spec"]
    assert trigger(shipment)["metadata"]["ignoreNullValues"] == "false"
    assert spec["fallback"]["replicas"] == shipment.sizing.desired


def test_where_an_autoscaler_counts_the_deployment_does_not() -> None:
    assert "replicas" not in by_kind(receipts())["Deployment"]["spec"]
    fixed = by_kind(receipts(scaling={"metric": "none"}))
    assert fixed["Deployment"]["spec"]["replicas"] == 2
    assert not {"HorizontalPodAutoscaler", "ScaledObject"} & set(fixed)
    full = resized(receipts(), min_replicas=2, max_replicas=2)
    assert signal_of(full) is None


def test_it_shrinks_one_at_a_time_after_its_cooldown() -> None:
    spec = by_kind(receipts(scaling={"scale_in_cooldown": 1200}))["HorizontalPodAutoscaler"]["spec"]
    down = spec["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] == 1200
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 1200}]


def test_the_reason_is_on_the_page() -> None:
    assert "is a gauge that each pod exposes" in render(receipts()).files["README.md"]
    page = render(receipts(scaling={"metric": "p90_latency"})).files["README.md"]
    assert "which an HPA cannot ask" in page
