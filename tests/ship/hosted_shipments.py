"""Shipments to what AWS hosts: SageMaker, Lambda, Bedrock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from ship_plans import plan

from pilotage.ship.sizing_of import prepare
from pilotage.ship.target import Shipment
from pilotage.spec import Deployment, PlanFile, parse
from pilotage.spec.shipping import TargetName

EXAMPLES = Path(__file__).parents[2] / "examples"
TOPIC = "arn:aws:sns:us-east-1:123456789012:on-call"
VLLM = f"763104351884.dkr.ecr.us-east-1.amazonaws.com/vllm@sha256:{'ab' * 32}"
WEIGHTS = "s3://models-of-ours/llama-3.2-11b-vision"


def example(name: str, **sections: Any) -> Deployment:
    """An example with some of its sections' fields set."""
    data = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text("utf-8"))
    for section, fields in sections.items():
        data[section] = {**data.get(section, {}), **fields}
    found = parse(yaml.safe_dump(data), f"{name}.yaml", folder=EXAMPLES)
    assert isinstance(found, Deployment)
    return found


def sagemaker_plan(instance_type: str = "ml.g6e.2xlarge", **settings: Any) -> PlanFile:
    """Two instances that answer 90 requests a second, 0.8 s each."""
    return plan(
        instance_type,
        strategy="sagemaker-realtime",
        count=2,
        dtype="fp8",
        settings={"max_num_seqs": 64, **settings},
        further={
            "predictions": {
                "rate": 80.0,
                "requests_per_s": 90.0,
                "e2e": {"p50": 0.8, "p99": 1.6},
                "usd_per_month": 4000.0,
            }
        },
    )


def receipts(
    target: TargetName = "sagemaker",
    planned: PlanFile | None = None,
    *,
    serving: dict[str, Any] | None = None,
    slo: dict[str, Any] | None = None,
    sizing: dict[str, Any] | None = None,
    **shipping: Any,
) -> Shipment:
    """Receipts on SageMaker: AWS's vLLM, weights from S3, somebody to tell."""
    section = {
        "weights_uri": WEIGHTS,
        "image": {"uri": VLLM},
        "alarms": {"topic_arn": TOPIC},
        **shipping,
    }
    deployment = example(
        "receipts",
        serving={"max_body": "6MB", **(serving or {})},
        slo=slo or {},
        shipping={name: value for name, value in section.items() if value is not None},
    )
    made = prepare(deployment, planned or sagemaker_plan(), target=target)
    return replace(made, sizing=replace(made.sizing, **(sizing or {})))


def chatbot(*, routing: dict[str, Any] | None = None, **shipping: Any) -> Shipment:
    """The chatbot on Lambda over two models of Bedrock."""
    return prepare(
        example("chatbot", routing=routing or {}, shipping=shipping), None, target="lambda-bedrock"
    )


def units(count: int = 3, **sections: Any) -> Shipment:
    """Model units for Llama 3.1 8B."""
    data = {
        "name": "house",
        "model": {"source": "hf://meta-llama/Llama-3.1-8B-Instruct"},
        **sections,
    }
    deployment = parse(yaml.safe_dump(data), "house.yaml")
    assert isinstance(deployment, Deployment)
    planned = plan(None, name="house", strategy="bedrock-provisioned", count=count, engine=None)
    return prepare(deployment, planned, target="bedrock-provisioned")


ENDPOINTS = {
    "real-time": receipts,
    "async": lambda: receipts("sagemaker-async"),
    "zero": lambda: receipts(scaling={"min": 0}),
    "async-zero": lambda: receipts("sagemaker-async", scaling={"min": 0}, image=None),
    "own-vpc": lambda: receipts(
        network={"vpc_id": "vpc-0a1b2c3d4e5f60718", "subnets": ["subnet-0a1b2c3d4e5f60711"]},
        rollout="downtime",
        scaling={"metric": "p90_latency"},
    ),
    "gpu": lambda: receipts(scaling={"metric": "gpu"}),
    # No disks of its own, so a volume and a key.
    "volume": lambda: receipts(
        planned=sagemaker_plan("ml.p5.4xlarge"), sizing={"instance_type": "inf2.8xlarge"}
    ),
}
"""Endpoints of each kind, by what is particular about them."""

FUNCTIONS = {
    "signed": chatbot,
    "public": lambda: chatbot(
        account="123456789012",
        network={"public": True, "allowed_cidrs": ["0.0.0.0/0"]},
        alarms={"usd_per_day": 20},
    ),
    "image": lambda: chatbot(
        image={"uri": f"123456789012.dkr.ecr.us-east-1.amazonaws.com/chatbot@sha256:{'ab' * 32}"},
        scaling={"max": 7},
    ),
}
"""Functions likewise."""


def kinds(made: Mapping[str, Callable[[], Shipment]]) -> dict[str, Shipment]:
    """Each made once."""
    return {name: make() for name, make in made.items()}
