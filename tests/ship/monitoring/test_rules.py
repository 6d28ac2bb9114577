"""Rules: each alert fires on what is bad and is silent on what is well, said by promtool."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from alert_cases import ASKED_AT, CASES, as_test
from prometheus_tools import needs_promtool, promtool
from server_metrics import exported
from watched_shipments import SELECTED, WATCHED, made, pods, receipts, rules, support

from pilotage.ship.monitoring import Alert, Rules, rules_of
from pilotage.ship.target import Shipment
from pilotage.ship.targets.scraped import scrape_of
from pilotage.spec.shipping import AlarmsSpec, ScalingSpec, ShippingSpec
from pilotage.spec.slo import SloSpec

FOREIGN = {"up", "DCGM_FI_DEV_GPU_UTIL"}
"""Prometheus' own, and NVIDIA's exporter's."""


def of(shipment: Shipment) -> Rules:
    return rules_of(shipment, scrape_of(shipment))


def alert(found: Rules, name: str) -> Alert:
    return next(one for one in found.alerts if one.name == name)


def promising(shipment: Shipment, **slo: float) -> Shipment:
    deployment = shipment.deployment.model_copy(update={"slo": SloSpec(**slo)})
    return replace(shipment, deployment=deployment)


def shipping(shipment: Shipment, **sections: object) -> Shipment:
    return replace(shipment, shipping=ShippingSpec.model_validate(sections))


@pytest.mark.parametrize("name", WATCHED)
def test_every_metric_is_one_that_we_export(name: str) -> None:
    found = rules(name)
    known = exported() | FOREIGN | {one.name for one in found.recordings}
    used = {
        metric
        for one in (*found.recordings, *found.alerts)
        for metric in SELECTED.findall(one.expression)
    }
    assert len(used) > 10
    assert used - known == set()


@pytest.mark.parametrize("name", WATCHED)
def test_every_alert_has_its_reason_and_a_case(name: str) -> None:
    tried = {alert for case in CASES for alert in case.fires}
    for one in rules(name).alerts:
        assert one.reason, one.name
        assert one.advice, one.name
        assert one.name in tried
    assert len({one.name for one in rules(name).alerts}) == len(rules(name).alerts)


@needs_promtool
def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    for name in WATCHED:
        (tmp_path / f"{name}.yaml").write_text(made(name).files["rules.yaml"])
    done = promtool("check", "rules", "--lint-fatal", *sorted(tmp_path.glob("*.yaml")))
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize("of", ["receipts", "support"])
def test_alerts_fire_on_what_is_bad_and_are_silent_otherwise(of: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(made(of).files["rules.yaml"])
    told = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "2m",  # half as many as samples, and half the time
        "tests": [as_test(case, f"pilotage-{of}") for case in CASES if case.of == of],
    }
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(told))
    done = promtool("test", "rules", tmp_path / "tests.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_what_is_said_names_the_worker_and_the_value(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(made("receipts").files["rules.yaml"])
    full = alert(rules("receipts"), "PilotageKvCacheFull")
    case = next(one for one in CASES if one.fires == (full.name,))
    test = as_test(case, "pilotage-receipts")
    test["alert_rule_test"] = [
        {
            "eval_time": f"{ASKED_AT}m",
            "alertname": full.name,
            "exp_alerts": [
                {
                    "exp_labels": {
                        "job": "pilotage-receipts", "instance": "a", "worker": "worker-0",
                        "severity": "warning", "deployment": "receipts",
                    },
                    "exp_annotations": {
                        "summary": "pilotage-receipts a worker-0: the KV cache is 97% full",
                        "description": full.advice,
                        "reason": full.reason,
                    },
                }
            ],
        }
    ]  # fmt: skip
    told = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(told))
    done = promtool("test", "rules", tmp_path / "tests.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_thresholds_are_those_of_the_spec() -> None:
    found = of(promising(receipts(), ttft_p99=0.7))
    slow = alert(found, "PilotageSlowFirstTokens")
    assert "> 0.7 and" in slow.expression
    assert "slo.ttft_p99 is 0.7 s" in slow.reason
    assert "between 0.5 s and 0.75 s" in slow.reason
    assert "> 0.56" in alert(found, "PilotageQueueNearPromise").expression
    names = {one.name for one in found.alerts}
    assert not names & {"PilotageSlowTokens", "PilotageSlowAnswers"}
    assert any("slo.e2e_p99" in note for note in found.notes)


def test_a_promise_on_a_bound_is_told_exactly_and_the_last_one_too() -> None:
    exact = alert(of(promising(receipts(), ttft_p99=0.5)), "PilotageSlowFirstTokens")
    assert "> 0.5 and" in exact.expression
    assert "exact" in exact.reason
    last = alert(of(promising(receipts(), ttft_p99=10)), "PilotageSlowFirstTokens")
    assert ">= 10 and" in last.expression


def test_a_promise_beyond_the_histogram_is_not_watched_and_that_is_said() -> None:
    found = of(promising(receipts(), ttft_p99=15))
    assert "PilotageSlowFirstTokens" not in {one.name for one in found.alerts}
    assert any("ends at 10 s, before the promised 15 s" in note for note in found.notes)


def test_without_a_promise_there_is_no_budget_to_burn() -> None:
    names = {one.name for one in of(promising(receipts())).alerts}
    assert "PilotageFailedAnswers" in names
    assert not any("Budget" in name for name in names)


def test_the_window_holds_enough_requests_of_the_planned_rate() -> None:
    shipment = receipts()
    workload = shipment.deployment.workload
    assert workload is not None
    slow = workload.model_copy(
        update={"arrivals": workload.arrivals.model_copy(update={"rate": 0.1, "peak": 0.1})}
    )
    deployment = shipment.deployment.model_copy(update={"workload": slow})
    found = of(replace(shipment, deployment=deployment))
    text = alert(found, "PilotageSlowFirstTokens").expression
    assert "[34m]" in text
    assert text.endswith(">= 100")
    rare = slow.model_copy(
        update={"arrivals": slow.arrivals.model_copy(update={"rate": 0.001, "peak": 0.001})}
    )
    deployment = shipment.deployment.model_copy(update={"workload": rare})
    text = alert(of(replace(shipment, deployment=deployment)), "PilotageSlowAnswers").expression
    assert "[1h]" in text
    assert text.endswith(">= 1")


def test_gpus_idle_below_what_the_spec_says_and_only_where_there_are_some() -> None:
    lazy = shipping(receipts(), alarms={"gpu_idle": 12})
    assert alert(of(lazy), "PilotageGpuIdle").expression.endswith("< 12")
    none = replace(receipts(), sizing=replace(receipts().sizing, gpus=0))
    assert "PilotageGpuIdle" not in {one.name for one in of(none).alerts}
    assert "exported_pod" in alert(rules("pods"), "PilotageGpuIdle").expression


def test_a_pods_name_is_of_no_other_deployment() -> None:
    import re

    text = alert(rules("pods"), "PilotageGpuIdle").expression
    found = re.search(r'[{,]pod=~"([^"]+)"', text)
    assert found
    pattern = re.compile(found[1])
    assert pattern.fullmatch("pilotage-receipts-6d4cf56db6-x2x7p")
    assert pattern.fullmatch("pilotage-receipts-predictor-6d4cf56db6-x2x7p")
    assert not pattern.fullmatch("pilotage-receipts-eu-6d4cf56db6-x2x7p")


def test_what_may_go_to_zero_misses_no_replica() -> None:
    shipment = replace(receipts(), sizing=replace(receipts().sizing, min_replicas=0))
    assert "PilotageReplicasMissing" not in {one.name for one in of(shipment).alerts}
    assert any("missing replicas" in note for note in of(shipment).notes)


def test_spend_is_bounded_by_the_spec_then_the_plan_then_the_budget() -> None:
    given = replace(support(), shipping=ShippingSpec(alarms=AlarmsSpec(usd_per_day=7)))
    assert alert(of(given), "PilotageSpend").expression.endswith("> 7")
    budget = alert(rules("support"), "PilotageSpend")
    assert budget.expression.endswith("> 197.26")
    assert "budget.usd_per_month" in budget.reason
    poor = replace(support(), deployment=support().deployment.model_copy(update={"budget": None}))
    assert "PilotageSpend" not in {one.name for one in of(poor).alerts}
    assert any("No alert on spend" in note for note in of(poor).notes)
    assert "PilotageSpend" not in {one.name for one in rules("receipts").alerts}


def test_a_queue_is_what_scaling_holds() -> None:
    shipment = replace(
        receipts(), shipping=ShippingSpec(scaling=ScalingSpec(metric="queue", target=4))
    )
    grows = alert(of(shipment), "PilotageQueueGrows")
    assert "> 4 * count" in grows.expression
    assert "shipping.scaling.target" in grows.reason


def test_series_are_told_apart_by_namespace_on_kubernetes() -> None:
    assert 'namespace="default",job="pilotage-receipts"' in made("pods").files["rules.yaml"]
    assert "namespace" not in made("receipts").files["rules.yaml"]
    assert of(pods()).as_file()["groups"][0]["name"] == "pilotage-receipts-recording"
