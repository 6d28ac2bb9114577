"""The rule file: what Prometheus computes and watches for a deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pilotage.ship.monitoring.alert import Alert, Recording
from pilotage.ship.monitoring.answers import answer_alerts, answer_recordings
from pilotage.ship.monitoring.promises import latencies
from pilotage.ship.monitoring.replicas import replica_alerts
from pilotage.ship.monitoring.routes import route_alerts, route_recordings, spend_limit
from pilotage.ship.monitoring.series import Scrape, Series
from pilotage.ship.target import Shipment


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is computed and watched.

    Attributes:
        name: Of the groups, before their own words.
        deployment: A label of every alert.
        recordings: Computed first, as alerts read them.
        alerts: By what users notice first.
        notes: What is not watched, and why.
    """

    name: str
    deployment: str
    recordings: tuple[Recording, ...]
    alerts: tuple[Alert, ...]
    notes: tuple[str, ...]

    def as_file(self) -> dict[str, Any]:
        """As Prometheus reads it from ``rule_files``, and as ``spec`` of a PrometheusRule."""
        return {
            "groups": [
                {
                    "name": f"{self.name}-recording",
                    "rules": [one.as_rule() for one in self.recordings],
                },
                {
                    "name": f"{self.name}-alerts",
                    "rules": [one.as_rule(self.deployment) for one in self.alerts],
                },
            ]
        }


def rules_of(shipment: Shipment, scrape: Scrape) -> Rules:
    """The rules of a deployment, each threshold from the spec or the plan.

    Args:
        shipment: What is shipped.
        scrape: How its series are labelled.
    """
    series = Series(scrape=scrape)
    found = latencies(shipment.deployment)
    promised = tuple(one for one in found if one.measurable)
    return Rules(
        name=shipment.name,
        deployment=shipment.deployment.name,
        recordings=(
            *answer_recordings(shipment, series, promised),
            *route_recordings(shipment, series),
        ),
        alerts=(
            *answer_alerts(shipment, series, promised),
            *replica_alerts(shipment, series),
            *route_alerts(shipment, series),
        ),
        notes=_notes(shipment),
    )


def _notes(shipment: Shipment) -> tuple[str, ...]:
    found = []
    for one in latencies(shipment.deployment):
        if one.limit_s is None:
            found.append(f"No alert on the {one.words}: the spec promises none (slo.{one.key}_p99)")
        elif not one.measurable:
            found.append(
                f"No alert on the {one.words}: its histogram ends at {one.bounds[-1]:g} s, before "
                f"the promised {one.limit_s:g} s"
            )
    if shipment.sizing.min_replicas == 0:
        found.append("No alert on missing replicas: none is a number that the spec allows")
    if shipment.sizing.gpus:
        found.append("The alert on idle GPUs needs NVIDIA's DCGM exporter")
    if shipment.deployment.routing is not None and spend_limit(shipment) is None:
        found.append(
            "No alert on spend: give shipping.alarms.usd_per_day, a plan or a monthly budget"
        )
    return tuple(found)
