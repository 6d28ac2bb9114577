"""Plans and specs that the tests of shipping share, made by hand and small."""

from __future__ import annotations

import json
from typing import Any

import yaml

from pilotage.ship.sizing_of import prepare
from pilotage.ship.target import Shipment
from pilotage.spec import Deployment, PlanFile, parse

LLAMA_VISION = "hf://meta-llama/Llama-3.2-11B-Vision-Instruct"
FINANCE = "hf://hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4"


def plan(
    instance_type: str | None = "g5.2xlarge",
    *,
    name: str = "receipts",
    strategy: str = "ecs-gpu",
    count: int = 1,
    engine: str | None = "vllm",
    usd_per_month: float | None = 900.0,
    further: dict[str, Any] | None = None,
    **deployment: Any,
) -> PlanFile:
    """A plan as the planner writes it."""
    return PlanFile.model_validate_json(
        json.dumps(
            {
                "schema": "pilotage.plan/1",
                "name": name,
                "created_at": "2026-11-22T12:00:00Z",
                "pilotage": "0.1.0",
                "deployment": {
                    "strategy": strategy,
                    "instance_type": instance_type,
                    "count": count,
                    "engine": engine,
                    "dtype": "bf16",
                    "settings": {"max_num_seqs": 64, "max_model_len": 4096},
                    **deployment,
                },
                "predictions": {"rate": 20.0, "mean_rate": 5.0, "usd_per_month": usd_per_month},
                **(further or {}),
            }
        )
    )


def spec(source: str = LLAMA_VISION, name: str = "receipts", **sections: Any) -> Deployment:
    """A spec of a name and a model, with further sections."""
    data = {"name": name, "model": {"source": source}, **sections}
    found = parse(yaml.safe_dump(data), "spec.yaml")
    assert isinstance(found, Deployment)
    return found


def shipment(**shipping: Any) -> Shipment:
    """Receipts on two g5.2xlarge behind ECS."""
    return prepare(
        spec(
            shipping={"target": "ecs", **shipping},
            workload={"arrivals": {"rate": "5/s", "peak": "20/s"}},
        ),
        plan(count=2),
    )
