"""A real Prometheus reads our metrics, loads the rules, and answers every panel's question."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_tools import needs_prometheus, prometheus, serving
from server_metrics import Server
from watched_shipments import dashboard, made, queries, rules

POD = {"namespace": "default", "pod": "pilotage-receipts-6d4cf56db6-x2x7p"}
GPUS = b"""\
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0"} 55
"""


@needs_prometheus
@pytest.mark.parametrize("name", ["pods", "support"])
def test_every_expression_is_answered(name: str, tmp_path: Path) -> None:
    kubernetes = name == "pods"
    job = "pilotage-receipts" if kubernetes else "pilotage-support"
    labels = POD if kubernetes else {}
    (tmp_path / "rules.yaml").write_text(made(name).files["rules.yaml"])
    server = Server()
    with serving({"/metrics": server.look, "/gpu": lambda: GPUS}) as address:
        targets = [{"targets": [address], "labels": labels}]
        config = {
            "global": {
                "scrape_interval": "300ms",
                "scrape_timeout": "300ms",
                "evaluation_interval": "300ms",
            },
            "rule_files": ["rules.yaml"],
            "scrape_configs": [
                {"job_name": job, "static_configs": targets},
                # On Kubernetes the exporter's series name the pod whose GPU it is.
                {"job_name": f"{job}-gpu", "metrics_path": "/gpu", "static_configs": targets},
            ],
        }
        with prometheus(tmp_path, config) as running:
            last = rules(name).recordings[-1].name
            running.until(lambda: server.looks >= 5 and bool(running.query(last)), last)
            for title, expression in queries(name):
                assert running.query(expression), f"{title}: no data for {expression}"
            for one in rules(name).recordings:
                assert running.query(one.expression), one.name
                assert running.query(one.name), f"{one.name} is not recorded"
            for alert in rules(name).alerts:
                running.query(alert.expression)
            groups = running.ask("api/v1/rules")["groups"]
            found = [one for group in groups for one in group["rules"]]
            assert {one["health"] for one in found} == {"ok"}, found
            assert len(found) == len(rules(name).recordings) + len(rules(name).alerts)
            # Restarted at every look: what fires at once is told with what it says.
            crash = next(one for one in found if one["name"] == "PilotageWorkerCrashLoop")
            assert crash["state"] == "firing"
            # Prometheus tells a rule's alerts in no order.
            summaries = sorted(one["annotations"]["summary"] for one in crash["alerts"])
            assert summaries[0].startswith(f"{job} {address}: worker-0 was started again ")
            values = running.ask("api/v1/label/job/values", **{"match[]": "pilotage_build_info"})
            chosen = dashboard(name)["templating"]["list"][-1]["current"]["value"]
            assert values == [chosen] == [job]
