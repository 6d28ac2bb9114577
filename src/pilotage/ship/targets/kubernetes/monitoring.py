"""Rules and dashboard as objects: prometheus-operator's PrometheusRule, and Grafana's sidecar."""

from __future__ import annotations

from typing import Final

from pilotage.ship.monitoring import MonitoringFiles, Scrape, monitoring_files
from pilotage.ship.target import Shipment
from pilotage.ship.targets.kubernetes.names import Manifest, manifest, object_name

_SIDECAR: Final = {"grafana_dashboard": "1"}
"""What the sidecar of Grafana's Helm chart looks for unless told otherwise."""
_FOLDER: Final = {"grafana_folder": "Pilotage"}


def scrape_of_pods(shipment: Shipment) -> Scrape:
    """The labels that prometheus-operator gives to what its monitors read."""
    return Scrape(job=object_name(shipment), namespace=shipment.shipping.namespace)


def monitoring(shipment: Shipment) -> tuple[dict[str, tuple[Manifest, ...]], tuple[str, ...]]:
    """The objects by the name of their file, and what is not watched."""
    made = monitoring_files(shipment, scrape_of_pods(shipment))
    objects: dict[str, tuple[Manifest, ...]] = {
        "prometheusrule": (prometheus_rule(shipment, made),),
        "dashboard": (dashboard(shipment, made),),
    }
    return objects, made.rules.notes


def prometheus_rule(shipment: Shipment, made: MonitoringFiles) -> Manifest:
    """The rules, as prometheus-operator loads them."""
    return manifest(
        shipment, "monitoring.coreos.com/v1", "PrometheusRule", spec=made.rules.as_file()
    )


def dashboard(shipment: Shipment, made: MonitoringFiles) -> Manifest:
    """The dashboard in a ConfigMap that Grafana's sidecar finds by its label."""
    found = manifest(
        shipment,
        "v1",
        "ConfigMap",
        suffix="-dashboard",
        annotations=_FOLDER,
        data={f"{shipment.name}.json": made.files["dashboard.json"]},
    )
    found["metadata"]["labels"] |= _SIDECAR
    return found
