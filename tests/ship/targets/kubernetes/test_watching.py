"""Rules and dashboard on Kubernetes: their job is the one that prometheus-operator will name."""

import json

from kubernetes_manifests import by_kind, captions, finance, objects, receipts, render

from pilotage.ship.target import Shipment
from pilotage.ship.targets.kubernetes.monitoring import scrape_of_pods


def dashboard(shipment: Shipment) -> dict[str, object]:
    files = render(shipment).files
    found = objects({"dashboard.yaml": files["dashboard.yaml"]})[0]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["metadata"]["name"] == "pilotage-receipts-dashboard"
    (text,) = found["data"].values()
    return dict(json.loads(text))


def test_the_job_is_the_services_name() -> None:
    found = by_kind(receipts())
    job = scrape_of_pods(receipts()).job
    assert found["Service"]["metadata"]["name"] == job
    assert "jobLabel" not in found["ServiceMonitor"]["spec"]
    rule = found["PrometheusRule"]["spec"]["groups"][0]["rules"][0]
    assert f'{{namespace="default",job="{job}"}}' in rule["expr"]


def test_the_job_is_the_pods_label_at_kserve() -> None:
    found = by_kind(captions("kserve"))
    label = found["PodMonitor"]["spec"]["jobLabel"]
    pods = found["InferenceService"]["spec"]["predictor"]["labels"]
    assert pods[label] == scrape_of_pods(captions("kserve")).job
    assert "PrometheusRule" in found


def test_the_dashboard_shows_this_deployment_at_first() -> None:
    variables = dashboard(receipts())["templating"]
    assert isinstance(variables, dict)
    now = {one["name"]: one["current"].get("value") for one in variables["list"]}
    assert now == {"datasource": None, "namespace": "default", "deployment": "pilotage-receipts"}


def test_kserves_own_vllm_is_not_watched_by_ours() -> None:
    files = render(finance("kserve")).files
    assert "prometheusrule.yaml" not in files
    assert "dashboard.yaml" not in files
