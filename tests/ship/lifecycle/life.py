"""Shipments and lifecycles that the tests share."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any

import boto3
from aws_front import REGION

from pilotage.ship.graph import Graph, Parameter, Ref, Resource
from pilotage.ship.lifecycle import Difference, Note
from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.cloudformation import CloudFormationLifecycle, Options
from pilotage.ship.lifecycle.waiting import Waiting
from pilotage.ship.sizing import Sizing
from pilotage.ship.target import Rendered, Shipment
from pilotage.spec import Deployment
from pilotage.spec.shipping import ShippingSpec

NAME = "pilotage-receipts"
SIZING = Sizing(
    instance_type="g5.2xlarge",
    gpus=1,
    task_cpu=7168,
    task_memory_mib=28672,
    desired=2,
    min_replicas=1,
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
)


def shipment(sizing: Sizing = SIZING, target: Any = "ecs", **shipping: Any) -> Shipment:
    return Shipment(
        deployment=Deployment.model_validate({"name": "receipts"}),
        shipping=ShippingSpec.model_validate(shipping),
        target=target,
        sizing=sizing,
    )


def rendered(topic: str = "one", *, logs: bool = True) -> Rendered:
    """A small stack of what moto really makes: a topic, and a log group that is kept."""
    tags = [{"Key": key, "Value": value} for key, value in sorted(shipment().tags.items())]
    kept = Resource(
        name="Logs",
        type="AWS::Logs::LogGroup",
        properties={"LogGroupName": f"{NAME}/lines", "Tags": tags},
    )
    graph = Graph(
        name=NAME,
        description="A small stack",
        parameters=(
            Parameter(name="DesiredCount", type="Number", default="2", description="Tasks."),
        ),
        resources=(
            *((kept,) if logs else ()),
            Resource(name="Topic", type="AWS::SNS::Topic", properties={"TopicName": topic}),
        ),
        outputs={"TopicArn": Ref("Topic")},
    )
    return Rendered(files={}, graph=graph)


def keeping(given: Rendered) -> Rendered:
    """The same, with the log group kept when the stack goes."""
    assert given.graph is not None
    resources = tuple(replace(one, retain=one.name == "Logs") for one in given.graph.resources)
    return Rendered(files={}, graph=replace(given.graph, resources=resources))


def lifecycle(**options: Any) -> CloudFormationLifecycle:
    waiting = options.pop("waiting", Waiting(poll_s=0.01, limit_s=10))
    return CloudFormationLifecycle(_aws(), Options(waiting=waiting, **options))


_known: dict[tuple[str | None, str | None], Aws] = {}


def _aws() -> Aws:
    """Clients take a while to make, and are the same for the same endpoint and keys."""
    key = os.environ.get("AWS_ENDPOINT_URL"), os.environ.get("AWS_ACCESS_KEY_ID")
    if key not in _known:
        _known[key] = Aws(REGION)
    return _known[key]


@dataclass
class Witness:
    """Sees what is said and shown, and agrees or not."""

    answer: bool = True
    notes: list[Note] = field(default_factory=list)
    shown: list[Any] = field(default_factory=list)

    def say(self, note: Note) -> None:
        self.notes.append(note)

    def agree(self, shown: Any) -> bool:
        self.shown.append(shown)
        return self.answer

    @property
    def text(self) -> str:
        return "\n".join(f"{one.what} {one.state} {one.text}" for one in self.notes)


def state() -> dict[str, Any]:
    """What AWS has, without what differs from run to run."""
    cloudformation = boto3.client("cloudformation", region_name=REGION)
    stacks = cloudformation.describe_stacks()["Stacks"]
    waiting = [
        one["ChangeSetName"]
        for one in cloudformation.list_change_sets(StackName=NAME)["Summaries"]
        if one.get("ExecutionStatus") == "AVAILABLE"
        and one["StackId"] in {stack["StackId"] for stack in stacks}
    ]
    topics = boto3.client("sns", region_name=REGION).list_topics()["Topics"]
    groups = boto3.client("logs", region_name=REGION).describe_log_groups()["logGroups"]
    return {
        "stacks": [
            (
                one["StackName"],
                one["StackStatus"],
                sorted((tag["Key"], tag["Value"]) for tag in one["Tags"]),
                cloudformation.get_template(StackName=one["StackName"])["TemplateBody"],
            )
            for one in stacks
        ],
        "change sets": waiting,
        "topics": sorted(one["TopicArn"] for one in topics),
        "log groups": sorted(one["logGroupName"] for one in groups),
    }


def no_changes(difference: Difference) -> bool:
    raise AssertionError(f"asked about {difference}")
