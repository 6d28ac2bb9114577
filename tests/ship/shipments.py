"""Shipments that tests render: three of the examples, sized by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pilotage.ship.sizing import Sizing
from pilotage.ship.target import Shipment
from pilotage.spec import Deployment, PlanFile, load, parse
from pilotage.spec.shipping import ShippingSpec

EXAMPLES = Path(__file__).parents[2] / "examples"

ACCOUNT = "123456789012"
CERTIFICATE = f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/11111111-2222-3333-4444-555555555555"
KEYS = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:receipts/keys-AbCdEf"
TOKEN = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:hub-AbCdEf:HF_TOKEN::"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:on-call"
DIGEST = "sha256:" + "ab" * 32

# g5.2xlarge: 8192 CPU units and 32768 MiB, of which the agents keep some.
G5 = Sizing(
    instance_type="g5.2xlarge",
    gpus=1,
    task_cpu=7168,
    task_memory_mib=28672,
    desired=2,
    min_replicas=2,
    max_replicas=6,
    fetch_s=180.0,
    load_s=240.0,
    grace_s=840,
    drain_s=30,
    stop_s=60,
    root_gib=100,
    weights_gib=48,
    instance_store=True,
    engine="vllm",
    arguments=("--host", "0.0.0.0", "--port", "8000", "--engine", "vllm"),
)
G6E = replace(G5, instance_type="g6e.2xlarge", task_memory_mib=61440)
FINANCE = replace(
    G5,
    instance_type="g6e.12xlarge",
    gpus=4,
    task_cpu=47104,
    task_memory_mib=376832,
    shm_mib=16384,
    max_replicas=3,
    fetch_s=420.0,
    load_s=600.0,
    grace_s=2040,
    weights_gib=96,
    arguments=(*G5.arguments, "--tensor-parallel", "4"),
)
CAPTIONS = replace(
    G5,
    instance_type="inf2.xlarge",
    gpus=0,
    neuron_devices=1,
    task_cpu=3072,
    task_memory_mib=13312,
    max_replicas=4,
    instance_store=False,
    engine="neuron",
    arguments=("--host", "0.0.0.0", "--port", "8000", "--engine", "neuron"),
)

CAPTIONS_SPEC = """
name: captions
model: {source: "s3://models-of-ours/captions/blip", engine: neuron, dtype: bf16}
workload:
  arrivals: {rate: 50/s, peak: 120/s}
  prompt_tokens: {p50: 16, p99: 32}
  completion_tokens: {p50: 24, p99: 64}
  images: {count: 1, width: 384, height: 384}
slo: {e2e_p99: 800ms}
"""


def plan_of(deployment: Deployment, sizing: Sizing, usd_per_month: float) -> PlanFile:
    """A plan such as the planner writes."""
    return PlanFile.model_validate(
        {
            "schema": "pilotage.plan/1",
            "name": deployment.name,
            "created_at": datetime(2026, 11, 22, tzinfo=UTC),
            "pilotage": "0.1.0",
            "deployment": {
                "strategy": "ecs-gpu",
                "instance_type": sizing.instance_type,
                "count": sizing.desired,
                "settings": {"max_num_seqs": 64},
            },
            "predictions": {
                "rate": 20.0,
                "requests_per_s": 40.0,
                "usd_per_month": usd_per_month,
            },
        }
    )


def shipment(
    deployment: Deployment,
    sizing: Sizing,
    shipping: dict[str, Any] | None = None,
    usd_per_month: float | None = None,
) -> Shipment:
    """A shipment to ECS."""
    return Shipment(
        deployment=deployment,
        shipping=ShippingSpec.model_validate(shipping or {}),
        target="ecs",
        sizing=sizing,
        plan=None if usd_per_month is None else plan_of(deployment, sizing, usd_per_month),
    )


def receipts(sizing: Sizing = G6E, /, **shipping: Any) -> Shipment:
    """Receipts on g5 or g6e, in a new VPC, image and keys of its own."""
    return shipment(load(EXAMPLES / "receipts.yaml"), sizing, shipping, 3270.0)


def finance() -> Shipment:
    """The 70B over four GPUs, public over HTTPS, spot above the base, p90 held."""
    return shipment(
        load(EXAMPLES / "finance.yaml"),
        FINANCE,
        {
            "network": {
                "public": True,
                "allowed_cidrs": ["198.51.100.0/24"],
                "certificate_arn": CERTIFICATE,
            },
            "image": {"uri": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/pilotage@{DIGEST}"},
            "keys_secret_arn": KEYS,
            "hub_token_secret_arn": TOKEN,
            "alarms": {"topic_arn": TOPIC},
            "scaling": {"metric": "p90_latency", "spot_share": 0.5},
            "tags": {"team": "finance"},
        },
        15_300.0,
    )


def captions() -> Shipment:
    """Captions on Inferentia2, in a given VPC, weights from S3, downtime instead of spare."""
    deployment = parse(CAPTIONS_SPEC, "captions.yaml")
    assert isinstance(deployment, Deployment)
    return shipment(
        deployment,
        CAPTIONS,
        {
            "network": {
                "vpc_id": "vpc-0a1b2c3d4e5f60718",
                "subnets": ["subnet-0a1b2c3d4e5f60711", "subnet-0a1b2c3d4e5f60712"],
            },
            "keys_secret_arn": KEYS,
            "rollout": "downtime",
            "scaling": {"metric": "requests"},
        },
        1107.0,
    )
