"""Rules and dashboard as files that Prometheus and Grafana load as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import yaml

from pilotage.ship.monitoring.dashboard import dashboard_of
from pilotage.ship.monitoring.rules import Rules, rules_of
from pilotage.ship.monitoring.series import Scrape
from pilotage.ship.target import Shipment

DASHBOARD: Final = "dashboard.json"
RULES: Final = "rules.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringFiles:
    """What watches a deployment.

    Attributes:
        rules: What is computed and watched.
        files: Text by name: the dashboard and the rule file.
    """

    rules: Rules
    files: Mapping[str, str]


def monitoring_files(shipment: Shipment, scrape: Scrape) -> MonitoringFiles:
    """Dashboard and rule file of a deployment.

    Args:
        shipment: What is shipped.
        scrape: How its series are labelled.
    """
    rules = rules_of(shipment, scrape)
    said = f"# Rendered by pilotage ship for {shipment.deployment.name}: load it by rule_files.\n"
    text = yaml.safe_dump(rules.as_file(), sort_keys=False, allow_unicode=True, width=100)
    board = json.dumps(dashboard_of(shipment, scrape), indent=2, ensure_ascii=False) + "\n"
    return MonitoringFiles(
        rules=rules, files=MappingProxyType({DASHBOARD: board, RULES: said + text})
    )
