"""For every rule a good rendering is changed to break it alone: exactly that rule refuses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import good_renders as good
import pytest
import ship_plans
import yaml
from good_renders import GONE, Case, Edit, add, ami, both, call, manifest, put

from pilotage.ship.graph import Ref, Resource
from pilotage.ship.rules import RULES, check_rules
from pilotage.ship.sizing_of import prepare
from pilotage.ship.target import Rendered, Shipment
from pilotage.ship.targets import target_of
from pilotage.spec import load
from pilotage.spec.shipping import TargetName

CHATBOT = Path(__file__).parents[3] / "examples" / "chatbot.yaml"
_TASK, _SERVICE = "AWS::ECS::TaskDefinition", "AWS::ECS::Service"
_GROUP, _PROVIDER = "AWS::AutoScaling::AutoScalingGroup", "AWS::ECS::CapacityProvider"
_TEMPLATE, _ROLE = "AWS::EC2::LaunchTemplate", "AWS::IAM::Role"
_SCALABLE = "AWS::ApplicationAutoScaling::ScalableTarget"
_POLICY = "AWS::ApplicationAutoScaling::ScalingPolicy"
_TARGETS = "AWS::ElasticLoadBalancingV2::TargetGroup"
_BALANCER = "AWS::ElasticLoadBalancingV2::LoadBalancer"
_CONFIG, _VARIANT = "AWS::SageMaker::EndpointConfig", ("ProductionVariants", 0)
_FUNCTION = "AWS::Lambda::Function"
_AMIS = "/aws/service/ecs/optimized-ami"
_POD = ("spec", "template", "spec")
_CONTAINER = (*_POD, "containers", 0)


def container(*path: str | int, value: Any) -> Edit:
    """A field of the ECS container."""
    return put(_TASK, "ContainerDefinitions", 0, *path, value=value)


def service(*path: str | int, value: Any) -> Edit:
    """A field of the ECS service."""
    return put(_SERVICE, *path, value=value)


def instances(*path: str | int, value: Any) -> Edit:
    """A field of the launch template."""
    return put(_TEMPLATE, "LaunchTemplateData", *path, value=value)


def provider(*path: str | int, value: Any) -> Edit:
    """A field of the capacity provider."""
    return put(_PROVIDER, "AutoScalingGroupProvider", *path, value=value)


def pod(*path: str | int, value: Any) -> Edit:
    """A field of the Kubernetes container."""
    return manifest("Deployment", *_CONTAINER, *path, value=value)


def statement(**fields: Any) -> Edit:
    """One more statement of a role."""
    value = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::x/*", **fields}
    path = ("Policies", 0, "PolicyDocument", "Statement")
    return put(_ROLE, *path, "+", value=value)


def claimed(rendered: Rendered) -> Rendered:
    """A claim that one node may mount, under pods of several replicas."""
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "one", "labels": {"app.kubernetes.io/managed-by": "pilotage"}},
        "spec": {"accessModes": ["ReadWriteOnce"]},
    }  # fmt: skip
    volume = {"name": "weights", "persistentVolumeClaim": {"claimName": "one"}}
    edited = manifest("Deployment", *_POD, "volumes", "+", value=volume)(rendered)
    return replace(edited, files={**edited.files, "claim.yaml": yaml.safe_dump(claim)})


_WARM = Resource(
    name="Warm",
    type="AWS::AutoScaling::WarmPool",
    properties={"AutoScalingGroupName": Ref("Instances")},
)
_SECOND = Resource(
    name="Second",
    type="AWS::AutoScaling::ScalingPolicy",
    properties={"AutoScalingGroupName": Ref("Instances")},
)
_BEDROCK = Resource(
    name="Units", type="AWS::Bedrock::ProvisionedModelThroughput", properties={"Tags": []}
)
_SPOT = partial(good.ecs, spot=True)
_SPLIT = partial(good.ecs, 4)
_NEURON = partial(good.ecs, neuron=True)
_ASYNC = partial(good.sagemaker, "async")
_COMPONENTS = partial(good.sagemaker, "components")

ON_ECS: list[tuple[str, Edit]] = [
    ("fargate-gpu", put(_TASK, "RequiresCompatibilities", value=["FARGATE"])),
    (
        "template-size",
        add(
            Resource(
                name="Large",
                type="AWS::CloudWatch::Dashboard",
                properties={"DashboardBody": "x" * 51_200},
            )
        ),
    ),
    ("role-size", statement(Resource=[f"arn:aws:s3:::bucket-{n:0100}/*" for n in range(90)])),
    ("gpu-text", container("ResourceRequirements", 0, "Value", value=1)),
    ("gpu-total", container("ResourceRequirements", 0, "Value", value="2")),
    ("task-fits", container("Memory", value=32768)),
    ("task-fits", container("Cpu", value=8193)),
    ("container-memory", container("Memory", value=128)),
    ("start-period", container("HealthCheck", "StartPeriod", value=1200)),
    ("check-bounds", container("HealthCheck", "Retries", value=99)),
    ("check-bounds", container("HealthCheck", "Interval", value=4)),
    ("check-bounds", container("HealthCheck", "Timeout", value=61)),
    ("check-loopback", container("HealthCheck", "Command", value=["CMD", "python3", "localhost"])),
    (
        "check-client",
        container("HealthCheck", "Command", value=["CMD-SHELL", "curl -f http://127.0.0.1:8000"]),
    ),
    ("stop-bound", container("StopTimeout", value=600)),
    ("stop-covers-drain", container("StopTimeout", value=20)),
    ("privileged", container("Privileged", value=True)),
    ("image-pinned", container("Image", value="vllm/vllm-openai:latest")),
    ("image-pinned", container("Image", value="vllm/vllm-openai")),
    ("grace-bounds", service("HealthCheckGracePeriodSeconds", value=-1)),
    ("grace-bounds", service("HealthCheckGracePeriodSeconds", value=2**31)),
    ("grace-covers-load", service("HealthCheckGracePeriodSeconds", value=60)),
    ("grace-covers-load", service("HealthCheckGracePeriodSeconds", value=GONE)),
    ("rollout-explicit", service("DeploymentConfiguration", "MaximumPercent", value=GONE)),
    (
        "rollout-moves",
        both(
            service("DeploymentConfiguration", "MinimumHealthyPercent", value=100),
            service("DeploymentConfiguration", "MaximumPercent", value=100),
        ),
    ),
    ("rollout-spare", put(_GROUP, "MaxSize", value="2")),
    (
        "circuit-breaker",
        service("DeploymentConfiguration", "DeploymentCircuitBreaker", "Enable", value=False),
    ),
    ("breaker-rolling", service("DeploymentController", value={"Type": "CODE_DEPLOY"})),
    ("launch-or-strategy", service("LaunchType", value="EC2")),
    ("ami-known", ami(f"{_AMIS}/amazon-linux-2/gpu/recommended/image_id")),
    ("ami-known", ami(f"{_AMIS}/amazon-linux-2023/inf/recommended/image_id")),
    ("ami-fits", ami(f"{_AMIS}/amazon-linux-2023/recommended/image_id")),
    ("managed-scaling", provider("ManagedScaling", "Status", value="DISABLED")),
    ("target-capacity", provider("ManagedScaling", "TargetCapacity", value=150)),
    ("termination-protection", provider("ManagedTerminationProtection", value="DISABLED")),
    ("scale-in-protection", put(_GROUP, "NewInstancesProtectedFromScaleIn", value=False)),
    ("imdsv2", instances("MetadataOptions", "HttpTokens", value="optional")),
    ("encrypted", instances("BlockDeviceMappings", 0, "Ebs", "Encrypted", value=False)),
    ("root-volume", instances("BlockDeviceMappings", 0, "Ebs", "VolumeSize", value=30)),
    ("target-check-bounds", put(_TARGETS, "HealthCheckIntervalSeconds", value=301)),
    ("target-check-path", put(_TARGETS, "HealthCheckPath", value="/health/live")),
    (
        "deregistration-covers-drain",
        put(
            _TARGETS,
            "TargetGroupAttributes",
            value=[{"Key": "deregistration_delay.timeout_seconds", "Value": "5"}],
        ),
    ),
    (
        "idle-timeout",
        put(
            _BALANCER,
            "LoadBalancerAttributes",
            value=[{"Key": "idle_timeout.timeout_seconds", "Value": "60"}],
        ),
    ),
    ("balancer-zones", put(_BALANCER, "Subnets", value=["subnet-1"])),
    ("internal", put(_BALANCER, "Scheme", value="internet-facing")),
    ("name-length", put(_BALANCER, "Name", value=33 * "x")),
    ("no-star-write", statement(Resource="*")),
    ("no-star-action", statement(Action="s3:*")),
    (
        "trust-named",
        put(
            _ROLE,
            "AssumeRolePolicyDocument",
            "Statement",
            0,
            "Principal",
            value={"AWS": "*"},
        ),
    ),
    ("secret-plain", container("Environment", "+", value={"Name": "HF_TOKEN", "Value": "hunter2"})),
    ("secret-plain", container("Environment", "+", value={"Name": "X", "Value": "hf_" + 34 * "a"})),
    ("secret-arn", container("Secrets", value=[{"Name": "HF_TOKEN", "ValueFrom": "my-token"}])),
    ("owned", put("AWS::ECS::Cluster", "Tags", value=[])),
    ("scaling-order", put(_SCALABLE, "MinCapacity", value=9)),
    ("scaling-max", put(_SCALABLE, "MaxCapacity", value=50)),
    (
        "p90-statistic",
        put(
            _POLICY,
            "TargetTrackingScalingPolicyConfiguration",
            "CustomizedMetricSpecification",
            value={"Namespace": "x", "MetricName": "y", "Statistic": "p90"},
        ),
    ),
    (
        "predefined-metric",
        put(
            _POLICY,
            "TargetTrackingScalingPolicyConfiguration",
            "PredefinedMetricSpecification",
            value={"PredefinedMetricType": "ECSServiceAverageGPUUtilization"},
        ),
    ),
    (
        "cooldown",
        put(_POLICY, "TargetTrackingScalingPolicyConfiguration", "ScaleInCooldown", value=-1),
    ),
    ("alarm-statistic", put("AWS::CloudWatch::Alarm", "Statistic", value="p99")),
    (
        "closed-groups",
        add(
            Resource(
                name="Open",
                type="AWS::EC2::SecurityGroupIngress",
                properties={
                    "IpProtocol": "tcp",
                    "FromPort": 443,
                    "ToPort": 443,
                    "CidrIp": "0.0.0.0/0",
                },
            )
        ),
    ),
    (
        "narrow-ports",
        add(
            Resource(
                name="Wide",
                type="AWS::EC2::SecurityGroupIngress",
                properties={"IpProtocol": "-1", "CidrIp": "10.0.0.0/8"},
            )
        ),
    ),
    ("bedrock-template", add(_BEDROCK)),
]
"""What is wrong with the same service in one place."""

ELSEWHERE: list[tuple[str, Callable[[], Case], Edit]] = [
    ("neuron-devices", _NEURON, container("LinuxParameters", "Devices", value=[])),
    ("task-shm", _SPLIT, container("LinuxParameters", "SharedMemorySize", value=64)),
    ("roles-apart", good.ecs, put(_TASK, "TaskRoleArn", value=Ref("ExecutionRole"))),
    (
        "ecr-scan",
        good.ecs,
        put("AWS::ECR::Repository", "ImageScanningConfiguration", value={"ScanOnPush": False}),
    ),
    ("one-driver", good.ecs, add(_SECOND)),
    ("warm-pool-spot", _SPOT, add(_WARM)),
    ("spot-drain", _SPOT, instances("UserData", value="#!/bin/bash")),
    (
        "on-demand-base",
        _SPOT,
        put(
            _GROUP,
            "MixedInstancesPolicy",
            "InstancesDistribution",
            "OnDemandBaseCapacity",
            value=0,
        ),
    ),
    (
        "sagemaker-start",
        good.sagemaker,
        put(_CONFIG, *_VARIANT, "ContainerStartupHealthCheckTimeoutInSeconds", value=7200),
    ),
    (
        "sagemaker-start-covers-load",
        good.sagemaker,
        put(_CONFIG, *_VARIANT, "ContainerStartupHealthCheckTimeoutInSeconds", value=60),
    ),
    (
        "sagemaker-start-covers-load",
        _COMPONENTS,
        put("AWS::SageMaker::InferenceComponent", "Specification", "StartupParameters", value={}),
    ),
    (
        "sagemaker-type",
        good.sagemaker,
        put(_CONFIG, *_VARIANT, "InstanceType", value="g5.2xlarge"),
    ),
    (
        "serverless-gpu",
        good.sagemaker,
        put(_CONFIG, *_VARIANT, "ServerlessConfig", value={"MemorySizeInMB": 4096}),
    ),
    ("sagemaker-zero", good.sagemaker, put(_SCALABLE, "MinCapacity", value=0)),
    (
        "component-zero",
        good.sagemaker,
        put(_CONFIG, *_VARIANT, "ManagedInstanceScaling", value={"MinInstanceCount": 0}),
    ),
    (
        "async-concurrency",
        _ASYNC,
        put(
            _CONFIG,
            "AsyncInferenceConfig",
            "ClientConfig",
            "MaxConcurrentInvocationsPerInstance",
            value=0,
        ),
    ),
    ("lambda-memory", good.function, put(_FUNCTION, "MemorySize", value=12_288)),
    ("lambda-timeout", good.function, put(_FUNCTION, "Timeout", value=901)),
    (
        "function-url",
        good.function,
        put("AWS::Lambda::Url", "AuthType", value="NONE"),
    ),
    ("bedrock-commitment", partial(good.bedrock, commitmentDuration="OneYear"), both()),
    ("bedrock-units", partial(good.bedrock, modelUnits=0), both()),
    ("k8s-accelerators", good.kubernetes, pod("resources", "requests", "nvidia.com/gpu", value=2)),
    ("k8s-startup", good.kubernetes, pod("startupProbe", "failureThreshold", value=3)),
    ("k8s-liveness", good.kubernetes, pod("startupProbe", value=GONE)),
    ("k8s-readiness", good.kubernetes, pod("readinessProbe", value=GONE)),
    (
        "k8s-probe-command",
        good.kubernetes,
        pod("readinessProbe", value={"exec": {"command": ["curl", "127.0.0.1:8000"]}}),
    ),
    ("k8s-shm", partial(good.kubernetes, 4), pod("volumeMounts", value=[])),
    (
        "k8s-shm",
        partial(good.kubernetes, 4),
        manifest("Deployment", *_POD, "volumes", 0, "emptyDir", "sizeLimit", value="64Mi"),
    ),
    (
        "k8s-disruption",
        good.kubernetes,
        manifest("PodDisruptionBudget", "spec", value={"minAvailable": 2}),
    ),
    (
        "k8s-disruption",
        good.kubernetes,
        manifest("PodDisruptionBudget", "spec", value={"maxUnavailable": 0}),
    ),
    (
        "k8s-stop",
        good.kubernetes,
        manifest("Deployment", *_POD, "terminationGracePeriodSeconds", value=5),
    ),
    (
        "k8s-stop",
        good.kubernetes,
        pod("lifecycle", value={"preStop": {"sleep": {"seconds": 3600}}}),
    ),
    ("k8s-claim", good.kubernetes, claimed),
    ("k8s-memory", good.kubernetes, pod("resources", "limits", "memory", value="900Gi")),
    (
        "k8s-privileges",
        good.kubernetes,
        pod("securityContext", "allowPrivilegeEscalation", value=True),
    ),
    (
        "k8s-scaling",
        good.kubernetes,
        manifest("HorizontalPodAutoscaler", "spec", "maxReplicas", value=1),
    ),
    (
        "k8s-scaling",
        good.kubernetes,
        both(
            manifest(
                "HorizontalPodAutoscaler",
                "spec",
                value={"minReplicaCount": 2, "maxReplicaCount": 50},
            ),
            manifest("HorizontalPodAutoscaler", "kind", value="ScaledObject"),
        ),
    ),
    ("k8s-image", good.kubernetes, pod("image", value="receipts:latest")),
    (
        "secret-plain",
        good.kubernetes,
        pod("env", "+", value={"name": "HF_TOKEN", "value": "hunter2"}),
    ),
    (
        "owned-objects",
        good.kubernetes,
        manifest("Deployment", "metadata", "labels", value={}),
    ),
    ("module-grace", good.terraform, call(service_grace_s=60)),
    ("module-grace", good.terraform, call(service_grace_s=2**31)),
    ("module-grace", good.terraform, call(instance_grace_s=60)),
    ("module-gpus", good.terraform, call(gpus=2)),
    ("module-gpus", good.terraform, call(gpus=0)),
    ("module-room", good.terraform, call(memory_mib=128)),
    ("module-room", good.terraform, call(memory_mib=32768)),
    ("module-room", good.terraform, call(cpu=8193)),
    ("module-root", good.terraform, call(root_volume_gib=150)),
    ("module-shm", partial(good.terraform, 4), call(ipc_mode=None)),
    ("module-check", good.terraform, call(check_command="curl -f http://localhost/ || exit 1")),
    ("module-check", good.terraform, call(check_interval_s=5)),
    ("module-stop", good.terraform, call(host_commands=("echo ECS_CONTAINER_STOP_TIMEOUT=9s",))),
    ("module-spot-drain", good.terraform, call(on_demand_base=1)),
    ("module-scaling", good.terraform, call(scaling_metric="p90", scaling_target=2)),
    ("module-scaling", good.terraform, call(scaling_metric="ALBRequestCountPerTarget")),
    ("module-scaling", good.terraform, call(gpu_target=0)),
    ("module-counts", good.terraform, call(min_tasks=0)),
    ("module-counts", good.terraform, call(minimum_healthy_percent=100, maximum_percent=100)),
    ("module-counts", good.terraform, call(max_instances=2)),
]
"""What is wrong with other renderings."""

IN_THE_SPEC = {
    "sagemaker-body": (good.sagemaker, {"max_body": 7_000_000}),
    "sagemaker-timeout": (good.sagemaker, {"request_timeout": 61.0}),
    "lambda-body": (good.function, {"max_body": 7_000_000}),
}
"""What no rendering shows: the spec allows what the platform refuses."""


@pytest.mark.parametrize(
    "case",
    [
        good.ecs,
        _SPOT,
        _SPLIT,
        _NEURON,
        good.sagemaker,
        _ASYNC,
        _COMPONENTS,
        good.function,
        good.bedrock,
        good.kubernetes,
        partial(good.kubernetes, 4),
    ],
)
def test_good_renderings_break_nothing(case: Callable[[], Case]) -> None:
    assert [str(one) for one in check_rules(*case())] == []


@pytest.mark.parametrize(
    ("name", "case", "edit"),
    [*((name, good.ecs, edit) for name, edit in ON_ECS), *ELSEWHERE],
    ids=[name for name, *_ in (*ON_ECS, *ELSEWHERE)],
)
def test_exactly_that_rule_refuses(name: str, case: Callable[[], Case], edit: Edit) -> None:
    rendered, shipment = case()
    broken = check_rules(edit(rendered), shipment)
    assert {one.rule for one in broken} == {name}, [str(one) for one in broken]
    for one in broken:
        assert one.where
        assert one.found
        assert one.fix[0].isalnum() or one.fix[0] == '"'
        assert one.limit in str(one)


@pytest.mark.parametrize("name", IN_THE_SPEC)
def test_the_spec_allows_what_the_platform_refuses(name: str) -> None:
    case, serving = IN_THE_SPEC[name]
    rendered, shipment = case()
    spec = shipment.deployment
    changed = type(spec.serving)(**serving)
    shipment = replace(shipment, deployment=spec.model_copy(update={"serving": changed}))
    assert {one.rule for one in check_rules(rendered, shipment)} == {name}


def test_serverless_memory() -> None:
    rendered, shipment = good.sagemaker()
    shipment = replace(shipment, sizing=replace(shipment.sizing, gpus=0))
    edit = put(_CONFIG, *_VARIANT, "ServerlessConfig", value={"MemorySizeInMB": 5000})
    assert {one.rule for one in check_rules(edit(rendered), shipment)} == {"serverless-memory"}


def test_every_rule_has_a_mutation() -> None:
    tested = {name for name, *_ in (*ON_ECS, *ELSEWHERE)} | set(IN_THE_SPEC)
    assert {one.id for one in RULES} - tested == {"serverless-memory"}


def test_rules_say_who_says_so() -> None:
    assert len({one.id for one in RULES}) == len(RULES)
    for one in RULES:
        assert one.what.endswith((".", "#19377."))
        assert one.limit
        assert one.source
        assert one.date == "2026-11-22"


@pytest.fixture(scope="module")
def real() -> Case:
    """What the ECS target renders."""
    shipment = ship_plans.shipment()
    return target_of("ecs").render(shipment), shipment


def test_the_real_rendering_breaks_nothing(real: Case) -> None:
    rendered, shipment = real
    assert [str(one) for one in check_rules(rendered, shipment)] == []


@pytest.mark.parametrize(
    ("name", "edit"),
    [(name, edit) for name, edit in ON_ECS],
    ids=[name for name, _ in ON_ECS],
)
def test_a_change_of_the_real_rendering_is_refused(name: str, edit: Edit, real: Case) -> None:
    rendered, shipment = real
    broken = check_rules(edit(rendered), shipment)
    assert {one.rule for one in broken} == {name}, [str(one) for one in broken]


def _kubernetes(tensor_parallel: int = 1, target: TargetName = "kubernetes") -> Case:
    """What the Kubernetes targets render."""
    kind = "g5.12xlarge" if tensor_parallel > 1 else "g5.2xlarge"
    plan = ship_plans.plan(kind, count=2, tensor_parallel=tensor_parallel)
    return _rendered(prepare(ship_plans.spec(), plan, target=target))


def _sagemaker(strategy: str = "sagemaker-realtime") -> Case:
    """What the SageMaker targets render."""
    return _rendered(prepare(ship_plans.spec(), ship_plans.plan(strategy=strategy, count=2)))


def _scaled() -> Case:
    spec = ship_plans.spec(shipping={"scaling": {"max": 6}})
    return _rendered(prepare(spec, ship_plans.plan(count=2), target="kubernetes"))


def _rendered(shipment: Shipment) -> Case:
    return target_of(shipment.target).render(shipment), shipment


def _function() -> Case:
    return _rendered(prepare(load(CHATBOT), None, target="lambda-bedrock"))


def _units() -> Case:
    plan = ship_plans.plan(None, strategy="bedrock-provisioned", engine=None, count=2)
    return _rendered(prepare(ship_plans.spec(), plan))


@pytest.mark.parametrize(
    "case",
    [
        _kubernetes,
        partial(_kubernetes, 4),
        _scaled,
        partial(_kubernetes, target="kserve"),
        good.terraform,
        partial(good.terraform, 4, spot_share=0.5, metric="requests"),
        _sagemaker,
        partial(_sagemaker, "sagemaker-async"),
        _function,
        _units,
    ],
)
def test_what_other_targets_render_breaks_nothing(case: Callable[[], Case]) -> None:
    assert [str(one) for one in check_rules(*case())] == []


_REAL: dict[Any, Callable[[], Case]] = {
    good.kubernetes: _kubernetes,
    good.sagemaker: _sagemaker,
    good.function: _function,
}
_ON_REAL = [
    *(
        (name, _REAL[case], edit)
        for name, case, edit in ELSEWHERE
        if case in _REAL and name != "k8s-scaling"
    ),
    # They scale only where there is something between least and most.
    (
        "k8s-scaling",
        _scaled,
        manifest("HorizontalPodAutoscaler", "spec", "maxReplicas", value=50),
    ),
]


@pytest.mark.parametrize(("name", "case", "edit"), _ON_REAL, ids=[name for name, *_ in _ON_REAL])
def test_a_change_of_what_they_render_is_refused(
    name: str, case: Callable[[], Case], edit: Edit
) -> None:
    rendered, shipment = case()
    broken = check_rules(edit(rendered), shipment)
    assert {one.rule for one in broken} == {name}, [str(one) for one in broken]
