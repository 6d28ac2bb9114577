"""What watches a deployment: rules for Prometheus, a dashboard for Grafana."""

from pilotage.ship.monitoring.alert import Alert, Recording
from pilotage.ship.monitoring.dashboard import dashboard_of
from pilotage.ship.monitoring.files import MonitoringFiles, monitoring_files
from pilotage.ship.monitoring.rules import Rules, rules_of
from pilotage.ship.monitoring.series import Scrape

__all__ = [
    "Alert",
    "MonitoringFiles",
    "Recording",
    "Rules",
    "Scrape",
    "dashboard_of",
    "monitoring_files",
    "rules_of",
]
