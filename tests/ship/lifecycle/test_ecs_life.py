"""The real ECS stack over moto as far as moto goes: capacity, targets, a completion, the end."""

from __future__ import annotations

import json

import boto3
import pytest
from aws_front import ACCOUNT, REGION, Front, Reply
from life import NAME, SIZING, Witness, lifecycle, no_changes, shipment
from model_server import ModelServer

from pilotage.ship.lifecycle import Note
from pilotage.ship.lifecycle.parameters import NotPushedError
from pilotage.ship.lifecycle.stack_change import FailedStackError
from pilotage.ship.lifecycle.waiting import TooLongError, Waiting
from pilotage.ship.target import Rendered, Shipment
from pilotage.ship.targets import target_of

IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/pilotage@sha256:{'ab' * 32}"
KEYS = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:receipts/keys-AbCdEf"

MOTO_LACKS = {
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::Budgets::Budget",
    "AWS::CloudWatch::Alarm",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::ECS::CapacityProvider",
    "AWS::ECS::ClusterCapacityProviderAssociations",
    "AWS::Logs::MetricFilter",
    "AWS::SecretsManager::Secret",
}
"""Types of the ECS stack that moto leaves out and calls the stack complete. The golden renders,
rules and cfn-lint look at them; what the lifecycle asks of them is held against captured requests
below. See docs/ship.md."""


def _shipped(**shipping: object) -> tuple[Shipment, Rendered]:
    """In a VPC that is there: moto cannot delete one that a stack made."""
    ec2 = boto3.client("ec2", region_name=REGION)
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]][:2]
    found = shipment(
        SIZING,
        network={"vpc_id": vpc, "subnets": subnets},
        **{
            "image": {"uri": IMAGE},
            "keys_secret_arn": KEYS,
            "scaling": {"target": 4.0},
            **shipping,
        },
    )
    return found, target_of("ecs").render(found)


def _register(note: Note) -> None:
    """Plays ECS, which registers tasks with the target group."""
    if note.step != "targets":
        return
    elb = boto3.client("elbv2", region_name=REGION)
    (group,) = elb.describe_target_groups()["TargetGroups"]
    elb.register_targets(
        TargetGroupArn=group["TargetGroupArn"],
        Targets=[{"Id": "10.0.0.1", "Port": 8000}, {"Id": "10.0.0.2", "Port": 8000}],
    )


def _balancer_at(front: Front, model: ModelServer) -> None:
    """moto's balancers forward nothing: their name and port are those of the model's server."""
    front.answers["DescribeLoadBalancers"] = lambda _: Reply(
        "<DescribeLoadBalancersResponse><DescribeLoadBalancersResult><LoadBalancers><member>"
        "<LoadBalancerArn>a</LoadBalancerArn><DNSName>127.0.0.1</DNSName><Scheme>internal</Scheme>"
        "</member></LoadBalancers></DescribeLoadBalancersResult></DescribeLoadBalancersResponse>",
        kind="text/xml",
    )
    front.answers["DescribeListeners"] = lambda _: Reply(
        "<DescribeListenersResponse><DescribeListenersResult><Listeners><member>"
        f"<Port>{model.server_port}</Port><Protocol>HTTP</Protocol></member></Listeners>"
        "</DescribeListenersResult></DescribeListenersResponse>",
        kind="text/xml",
    )


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto's services start their tasks only when they are told to."""
    monkeypatch.setenv("MOTO_ECS_SERVICE_RUNNING", "2")


@pytest.mark.usefixtures("running")
def test_the_ecs_stack_lives_and_goes_in_the_order_that_does_not_hang(
    front: Front, model: ModelServer
) -> None:
    _balancer_at(front, model)
    (shipped, files), here, seen = _shipped(), lifecycle(), Witness()

    def say(note: Note) -> None:
        seen.say(note)
        _register(note)

    done = here.apply(shipped, files, agree=seen.agree, say=say)
    assert done.answered
    assert done.status is not None
    assert done.status.address == model.url
    assert done.status.replicas is not None
    assert (done.status.replicas.desired, done.status.replicas.running) == (2, 2)
    assert done.status.replicas.healthy == 2
    assert here.diff(shipped, files).empty
    # moto counts tasks, and has none.
    assert here.weights(shipped) == ("no task runs",)
    steps = [one.step for one in seen.notes]
    assert steps.index("capacity") < steps.index("targets") < steps.index("completion")

    _make_what_moto_left_out(shipped)
    front.asked.clear()
    gone = here.destroy(shipped, agree=seen.agree, say=seen.say)
    assert gone.existed
    order = [
        one
        for one in front.actions()
        if one in {"RegisterScalableTarget", "UpdateService", "PutClusterCapacityProviders",
                   "UpdateAutoScalingGroup", "DeleteStack", "TagResource"}
    ]  # fmt: skip
    assert order == [
        "TagResource",
        "RegisterScalableTarget",
        "UpdateService",
        "PutClusterCapacityProviders",
        "UpdateAutoScalingGroup",
        "DeleteStack",
    ]
    (target,) = front.of("RegisterScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 0)
    (service,) = front.of("UpdateService")
    assert service["desiredCount"] == 0
    (detached,) = front.of("PutClusterCapacityProviders")
    assert (detached["capacityProviders"], detached["defaultCapacityProviderStrategy"]) == ([], [])
    (group,) = front.of("UpdateAutoScalingGroup")
    assert (group["MinSize"], group["DesiredCapacity"]) == ("0", "0")
    assert group["NewInstancesProtectedFromScaleIn"] == "false"

    (left,) = gone.leftovers
    assert left.type == "AWS::Logs::LogGroup"
    lacking = {one.split()[3] for one in front.unsupported}
    assert lacking <= MOTO_LACKS, lacking - MOTO_LACKS


def _make_what_moto_left_out(shipped: Shipment) -> None:
    cluster = boto3.client("ecs", region_name=REGION)
    service = cluster.list_services(cluster=NAME)["serviceArns"][0].rpartition("/")[2]
    boto3.client("application-autoscaling", region_name=REGION).register_scalable_target(
        ServiceNamespace="ecs",
        ResourceId=f"service/{NAME}/{service}",
        ScalableDimension="ecs:service:DesiredCount",
        MinCapacity=shipped.sizing.min_replicas,
        MaxCapacity=shipped.sizing.max_replicas,
    )
    cluster.put_cluster_capacity_providers(
        cluster=NAME,
        capacityProviders=["FARGATE"],
        defaultCapacityProviderStrategy=[{"capacityProvider": "FARGATE"}],
    )


@pytest.mark.usefixtures("running")
def test_a_destroy_that_was_interrupted_is_gone_on_with_and_not_applied_upon(front: Front) -> None:
    shipped, files = _shipped()
    here, seen = lifecycle(completion=False), Witness()

    def say(note: Note) -> None:
        seen.say(note)
        _register(note)

    here.apply(shipped, files, agree=seen.agree, say=say)

    def interrupted(note: Note) -> None:
        if note.step == "delete":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        here.destroy(shipped, agree=seen.agree, say=interrupted)
    with pytest.raises(FailedStackError, match="destroy began"):
        here.apply(shipped, files, agree=no_changes, say=seen.say)
    assert here.destroy(shipped, agree=seen.agree, say=seen.say).existed
    assert here.status(shipped).absent
    del front


def test_targets_that_stay_unhealthy_are_not_waited_for_for_ever(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_ECS_SERVICE_RUNNING", "2")
    shipped, files = _shipped()
    seen = Witness()
    short = lifecycle(waiting=Waiting(poll_s=0.05, limit_s=0.2))
    with pytest.raises(TooLongError, match="health of the targets"):
        short.apply(shipped, files, agree=seen.agree, say=seen.say)
    assert "0 of 2 targets are healthy" in seen.text
    # What may still come is not undone.
    assert lifecycle().status(shipped).state == "CREATE_COMPLETE"
    del front


@pytest.mark.usefixtures("running")
def test_a_change_keeps_the_count_that_scaling_chose(front: Front) -> None:
    shipped, files = _shipped()
    seen = Witness()

    def say(note: Note) -> None:
        _register(note)

    here = lifecycle(completion=False)
    here.apply(shipped, files, agree=seen.agree, say=say)
    ecs = boto3.client("ecs", region_name=REGION)
    (service,) = ecs.list_services(cluster=NAME)["serviceArns"]
    ecs.update_service(cluster=NAME, service=service, desiredCount=5)
    front.asked.clear()
    here.diff(shipped, files)
    (asked,) = front.of("CreateChangeSet")
    given = {
        asked[f"Parameters.member.{number}.ParameterKey"]: asked[
            f"Parameters.member.{number}.ParameterValue"
        ]
        for number in range(1, 10)
        if f"Parameters.member.{number}.ParameterKey" in asked
    }
    assert given["DesiredCount"] == "5"


@pytest.mark.usefixtures("running")
def test_image_and_keys_come_first_and_apply_goes_on_after_the_push(front: Front) -> None:
    shipped, files = _shipped(image={}, keys_secret_arn=None)
    secrets = boto3.client("secretsmanager", region_name=REGION)
    # moto makes no secrets in stacks: this one stands for it.
    secret = secrets.create_secret(Name=f"{NAME}/keys", SecretString="{}")["ARN"]
    seen = Witness()
    here = lifecycle(completion=False, parameters={"KeysSecretArn": secret})
    with pytest.raises(NotPushedError, match="holds no image yet") as caught:
        here.apply(shipped, files, agree=seen.agree, say=seen.say)
    assert "docker push" in str(caught.value.hint)
    ecr = boto3.client("ecr", region_name=REGION)
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"digest": "sha256:" + "0" * 64, "size": 1},
        "layers": [],
    }
    pushed = ecr.put_image(repositoryName=NAME, imageManifest=json.dumps(manifest), imageTag="1")[
        "image"
    ]["imageId"]["imageDigest"]

    def say(note: Note) -> None:
        _register(note)

    assert here.apply(shipped, files, agree=seen.agree, say=say).applied
    asked = next(one for one in front.of("CreateChangeSet") if one["StackName"] == NAME)
    assert pushed in asked.values()
    gone = here.destroy(shipped, agree=seen.agree, say=seen.say)
    assert {one.type for one in gone.leftovers} == {"AWS::Logs::LogGroup", "AWS::ECR::Repository"}
    left = lifecycle(purge=True).destroy(shipped, agree=no_changes, say=seen.say)
    assert left.leftovers == ()
    assert ecr.describe_repositories()["repositories"] == []
