"""The dashboard: Grafana's model, no panel over another, only what we export."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import jsonschema
import pytest
from grafana_model import DASHBOARD
from server_metrics import exported
from watched_shipments import SELECTED, WATCHED, dashboard, panels, queries, receipts, support

from pilotage.ship.monitoring import Scrape, dashboard_of
from pilotage.spec.slo import SloSpec

FOREIGN = {"up", "DCGM_FI_DEV_GPU_UTIL"}


def rows(found: dict[str, Any]) -> list[str]:
    return [one["title"] for one in found["panels"] if one["type"] == "row"]


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


@pytest.mark.parametrize("name", WATCHED)
def test_it_keeps_grafanas_model(name: str) -> None:
    jsonschema.validate(dashboard(name), DASHBOARD)


@pytest.mark.parametrize("name", WATCHED)
def test_panels_have_numbers_and_places_of_their_own(name: str) -> None:
    found = dashboard(name)["panels"]
    assert len({one["id"] for one in found}) == len(found)
    for one, other in combinations(found, 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])
    for one in found:
        assert one["gridPos"]["x"] + one["gridPos"]["w"] <= 24
        assert len({target["refId"] for target in one.get("targets", ())}) == len(
            one.get("targets", ())
        )


@pytest.mark.parametrize("name", WATCHED)
def test_every_metric_is_one_that_we_export(name: str) -> None:
    known = exported() | FOREIGN
    used = {metric for _, text in queries(name) for metric in SELECTED.findall(text)}
    assert len(used) > 20
    assert used - known == set()
    for one in dashboard(name)["templating"]["list"][1:]:
        assert "pilotage_build_info" in one["query"]["query"]


def test_every_metric_that_we_export_is_shown_somewhere() -> None:
    used = {metric for _, text in queries("support") for metric in SELECTED.findall(text)}
    families = {one.removesuffix("_sum").removesuffix("_count") for one in used}
    families = {one.removesuffix("_bucket") for one in families}
    ours = {
        one.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
        for one in exported()
    }
    assert ours - families == {
        "pilotage_build_info",  # names the deployments
        "pilotage_queue_requests",  # shown by model
        "pilotage_model_running_requests",  # shown by worker
        "pilotage_kv_cache_tokens",  # shown as a share
        "pilotage_route_available",  # shown as the breaker's state
    }


def test_the_promise_comes_first_and_routes_only_where_there_are_some() -> None:
    assert rows(dashboard("receipts")) == [
        "Promise", "Load", "Latency", "Throughput and tokens", "Queue and admission",
        "Workers and devices", "Errors",
    ]  # fmt: skip
    assert rows(dashboard("support"))[-1] == "Routing and spend"


def test_limits_are_those_of_the_spec() -> None:
    titles = {one["title"]: one for one in panels("receipts")}
    first = titles["TTFT p99, promised 0.4 s"]["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert first == [{"color": "green", "value": None}, {"color": "red", "value": 0.4}]
    peak = titles["Generations a second, by model"]["fieldConfig"]["defaults"]
    assert peak["thresholds"]["steps"][1]["value"] == 80
    assert "GPU utilisation" in titles
    assert "TPOT p99, promised" not in " ".join(one["title"] for one in panels("support"))
    spent = next(
        one for one in panels("support") if one["type"] == "stat" and "Spent" in one["title"]
    )
    assert spent["fieldConfig"]["defaults"]["thresholds"]["steps"][1]["value"] == 197.26


def test_without_promises_the_rest_is_there() -> None:
    bare = replace(
        receipts(), deployment=receipts().deployment.model_copy(update={"slo": SloSpec()})
    )
    found = dashboard_of(bare, Scrape(job="pilotage-receipts"))
    jsonschema.validate(found, DASHBOARD)
    assert "Answers that did not fail" in {one["title"] for one in found["panels"]}


def test_its_address_fits_into_grafana_and_stays() -> None:
    long = support()
    name = "a" * 30 + "-" + "b" * 30
    deployment = long.deployment.model_copy(update={"name": name})
    found = dashboard_of(replace(long, deployment=deployment), Scrape(job="x"))
    jsonschema.validate(found, DASHBOARD)
    assert len(found["uid"]) == 40
    assert dashboard("receipts")["uid"] == "pilotage-receipts"
