"""A workflow of every platform, and of what makes one different."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml
from hosted_shipments import chatbot, receipts, units
from ship_plans import plan, spec

from pilotage.ship.pipeline import Pipeline, check, workflow
from pilotage.ship.sizing_of import prepare
from pilotage.ship.target import Shipment
from pilotage.spec.shipping import TargetName

ACCOUNT = "123456789012"
IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/pilotage@sha256:{'ab' * 32}"
KEYS = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:receipts/keys-AbCdEf"
CERTIFICATE = f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/11111111-2222-3333-4444-555555555555"
OPEN = {"public": True, "allowed_cidrs": ["0.0.0.0/0"]}
VPC = {
    "vpc_id": "vpc-0a1b2c3d4e5f60718",
    "subnets": ["subnet-0a1b2c3d4e5f60711", "subnet-0a1b2c3d4e5f60712"],
}
NEEDED = {"image": {"uri": IMAGE}, "keys_secret_arn": KEYS, "network": OPEN}
ITSELF = ".github/workflows/receipts.yml"


def shipped(
    target: TargetName,
    *,
    name: str = "receipts",
    slo: dict[str, str] | None = None,
    **shipping: Any,
) -> Shipment:
    """Receipts on two g5.2xlarge, which answer 20 requests a second together."""
    return prepare(
        spec(
            name=name,
            workload={
                "arrivals": {"rate": "5/s", "peak": "20/s"},
                "prompt_tokens": {"p50": 180, "p99": 900},
                "completion_tokens": {"p50": 60, "p99": 128},
            },
            slo={"ttft_p99": "400ms"} if slo is None else slo,
            shipping={"target": target, **shipping},
        ),
        plan(count=2, name=name),
    )


def asked(shipment: Shipment, **more: Any) -> Pipeline:
    """A workflow that nothing is against."""
    given = {"spec": "receipts.yaml", "plan": "plan.json", **more}
    pipeline = Pipeline(shipment=shipment, **given)
    check(pipeline)
    return pipeline


@cache
def pipelines() -> dict[str, Pipeline]:
    """By what is particular about them; the first eight are the platforms."""
    llm, service = frozenset({"LLMInferenceService"}), frozenset({"InferenceService"})
    return {
        "ecs": asked(shipped("ecs", **NEEDED)),
        "sagemaker": asked(receipts()),
        "sagemaker-async": asked(receipts("sagemaker-async")),
        "lambda-bedrock": asked(chatbot(), spec="chatbot.yaml", plan=None),
        "bedrock-provisioned": asked(units(), spec="house.yaml"),
        "kubernetes": asked(shipped("kubernetes", **NEEDED)),
        "kserve": asked(shipped("kserve"), kinds=llm),
        "terraform": asked(shipped("terraform", network=OPEN)),
        "closed": asked(
            shipped(
                "ecs",
                **{**NEEDED, "network": {**VPC, "certificate_arn": CERTIFICATE}},
                account=ACCOUNT,
            ),
            runner="in-the-vpc",
            branch="release/1.x",
            requirements="requirements/pilotage.txt",
            deployment="receipts",
            others=("calibration.json",),
        ),
        "no-promise": asked(shipped("kserve", slo={}, image={"uri": IMAGE}), kinds=service),
        "image": asked(chatbot(image={"uri": IMAGE}), spec="chatbot.yaml", plan=None, replan=False),
    }


@cache
def texts() -> dict[str, str]:
    """The workflows."""
    return {name: workflow(one, ITSELF) for name, one in pipelines().items()}


def parsed(text: str) -> dict[str, Any]:
    """A workflow as GitHub reads it, where `on` is no truth value."""
    found: dict[str, Any] = yaml.safe_load(re.sub(r"(?m)^on:$", "'on':", text))
    return found


def steps(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every step with its job's name."""
    for name, job in parsed(text)["jobs"].items():
        for step in job["steps"]:
            yield name, step


def scripts(text: str) -> list[str]:
    """Every script."""
    return [step["run"] for _, step in steps(text) if "run" in step]
