"""Deployments that are watched, and what is rendered for them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from typing import Any

import shipments

from pilotage.ship.monitoring import MonitoringFiles, Rules, monitoring_files
from pilotage.ship.target import Shipment
from pilotage.ship.targets.scraped import scrape_of
from pilotage.spec import Deployment, parse

SELECTED = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{")
"""A series that an expression selects; ours always have matchers."""


RECEIPTS = """
name: receipts
model: {source: "hf://meta-llama/Llama-3.2-11B-Vision-Instruct"}
workload: {arrivals: {rate: 20/s, peak: 80/s}}
slo: {ttft_p99: 400ms, tpot_p99: 60ms, e2e_p99: 2s}
"""
SUPPORT = """
name: support
model: {source: "hf://Qwen/Qwen2.5-1.5B-Instruct", served_name: support}
workload: {arrivals: {rate: 100K/day, peak: 6/s}}
slo: {ttft_p99: 800ms, e2e_p99: 6s}
budget: {usd_per_month: 6000}
routing:
  policy: cascade
  tiers:
    - {name: small, price: {input: 0.1, output: 0.2}, backends: [{kind: local, model: support}]}
    - name: big
      backends: [{kind: bedrock, model: us.amazon.nova-lite-v1:0, region: us-east-1}]
"""


def parsed(text: str) -> Deployment:
    found = parse(text, "watched.yaml")
    assert isinstance(found, Deployment)
    return found


def receipts() -> Shipment:
    """A vision model on GPUs, three latencies promised, elsewhere than on Kubernetes."""
    return shipments.shipment(parsed(RECEIPTS), shipments.G6E, {}, 3270.0)


def pods() -> Shipment:
    return replace(receipts(), target="kubernetes")


def support() -> Shipment:
    """Tiers of its own and of others; a budget and no plan."""
    return shipments.shipment(parsed(SUPPORT), shipments.G5)


WATCHED = {"receipts": receipts, "pods": pods, "support": support}


@cache
def made(name: str) -> MonitoringFiles:
    shipment = WATCHED[name]()
    return monitoring_files(shipment, scrape_of(shipment))


def rules(name: str) -> Rules:
    return made(name).rules


def dashboard(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(made(name).files["dashboard.json"])
    return found


def panels(name: str) -> list[dict[str, Any]]:
    return [one for one in dashboard(name)["panels"] if one["type"] != "row"]


def queries(name: str) -> list[tuple[str, str]]:
    """Each query of the dashboard with its panel's title, variables as they are at first."""
    found = dashboard(name)
    now = {one["name"]: one["current"].get("value", "") for one in found["templating"]["list"]}
    return [
        (panel["title"], filled_in(target["expr"], now))
        for panel in panels(name)
        for target in panel["targets"]
    ]


def filled_in(expression: str, now: dict[str, str]) -> str:
    """As Grafana sends it: its own variables, then the dashboard's."""
    for variable, value in (("$__rate_interval", "10s"), ("$__range", "1m")):
        expression = expression.replace(variable, value)
    for variable, value in now.items():
        expression = expression.replace(f"${{{variable}}}", value)
    assert "$" not in expression
    return expression
