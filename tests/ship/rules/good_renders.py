"""Renderings by hand that break no rule, each as small as the rules that it is for allow."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ship_plans
import yaml

from pilotage.ship.ecs_module import ModuleCall
from pilotage.ship.graph import Attribute, Graph, Join, Parameter, Ref, Resource
from pilotage.ship.sizing_of import prepare
from pilotage.ship.target import Rendered, Shipment
from pilotage.ship.targets import target_of

Case = tuple[Rendered, Shipment]
Edit = Callable[[Rendered], Rendered]
GONE = object()


def put(kind: str, *path: str | int, value: Any) -> Edit:
    """Sets (or with `GONE` removes) what lies at a path of the first resource of a type."""

    def edit(rendered: Rendered) -> Rendered:
        assert rendered.graph is not None
        first = next(one for one in rendered.graph.resources if one.type == kind)
        changed = replace(first, properties=_changed(first.properties, path, value))
        resources = [changed if one is first else one for one in rendered.graph.resources]
        return replace(rendered, graph=replace(rendered.graph, resources=tuple(resources)))

    return edit


def call(**fields: Any) -> Edit:
    """Other arguments of the Terraform module's call."""

    def edit(rendered: Rendered) -> Rendered:
        module = rendered.extra["module"]
        assert isinstance(module, ModuleCall)
        return replace(rendered, extra={**rendered.extra, "module": replace(module, **fields)})

    return edit


def add(resource: Resource) -> Edit:
    """One more resource."""

    def edit(rendered: Rendered) -> Rendered:
        assert rendered.graph is not None
        resources = (*rendered.graph.resources, resource)
        return replace(rendered, graph=replace(rendered.graph, resources=resources))

    return edit


def ami(path: str) -> Edit:
    """Another AMI parameter."""

    def edit(rendered: Rendered) -> Rendered:
        assert rendered.graph is not None
        parameters = tuple(
            replace(one, default=path) if "Image" in one.type else one
            for one in rendered.graph.parameters
        )
        return replace(rendered, graph=replace(rendered.graph, parameters=parameters))

    return edit


def manifest(kind: str, *path: str | int, value: Any) -> Edit:
    """Sets (or removes) what lies at a path of the first Kubernetes object of a kind."""

    def edit(rendered: Rendered) -> Rendered:
        files = dict(rendered.files)
        changed = 0
        for name, content in rendered.files.items():
            if not name.endswith(".yaml") or "apiVersion" not in content:
                continue
            documents = list(yaml.safe_load_all(content))
            edited = [
                _changed(one, path, value) if one["kind"] == kind else one for one in documents
            ]
            changed += edited != documents
            files[name] = yaml.safe_dump_all(edited)
        assert changed, f"no {kind} was changed"
        return replace(rendered, files=files)

    return edit


def both(*edits: Edit) -> Edit:
    """One edit after the other."""

    def edit(rendered: Rendered) -> Rendered:
        for one in edits:
            rendered = one(rendered)
        return rendered

    return edit


def _changed(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    whole = copy.deepcopy(_thawed(value))
    place = whole
    for step in path[:-1]:
        if isinstance(place, dict) and step not in place:
            place[step] = {}
        place = place[step]
    if new is GONE:
        del place[path[-1]]
    elif path[-1] == "+":
        place.append(new)
    else:
        place[path[-1]] = new
    return whole


def _thawed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _thawed(one) for key, one in value.items()}
    return [_thawed(one) for one in value] if isinstance(value, list | tuple) else value


def _tags(shipment: Shipment) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in shipment.tags.items()]


def _role(name: str, tags: list[dict[str, str]], *statements: dict[str, Any]) -> Resource:
    trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}
    return Resource(
        name=name,
        type="AWS::IAM::Role",
        properties={
            "AssumeRolePolicyDocument": {"Statement": [{**trust, "Action": "sts:AssumeRole"}]},
            "Policies": [{"PolicyName": "own", "PolicyDocument": {"Statement": list(statements)}}],
            "Tags": tags,
        },
    )


def ecs(tensor_parallel: int = 1, *, spot: bool = False, neuron: bool = False) -> Case:
    """A service on GPU (or Inferentia) instances behind a load balancer."""
    kind = "inf2.xlarge" if neuron else ("g5.12xlarge" if tensor_parallel > 1 else "g5.2xlarge")
    shipment = prepare(
        ship_plans.spec(
            shipping={"target": "ecs", "scaling": {"spot_share": 1.0 if spot else 0.0}},
        ),
        ship_plans.plan(
            kind,
            count=2,
            strategy="ecs-neuron" if neuron else "ecs-gpu",
            engine="neuron" if neuron else "vllm",
            tensor_parallel=tensor_parallel,
        ),
    )
    sizing, tags = shipment.sizing, _tags(shipment)
    log = {"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": Attribute("Log", "Arn")}
    metric = {"Effect": "Allow", "Action": ["cloudwatch:PutMetricData"], "Resource": "*"}
    read = {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::weights/*"}
    accelerator: dict[str, Any] = (
        {"LinuxParameters": {"Devices": [{"HostPath": "/dev/neuron0"}]}}
        if neuron
        else {
            "ResourceRequirements": [{"Type": "GPU", "Value": str(sizing.gpus)}],
            "LinuxParameters": {"SharedMemorySize": sizing.shm_mib or 64},
        }
    )
    container = {
        "Name": "server",
        "Image": "1.dkr.ecr.us-east-1.amazonaws.com/receipts@sha256:" + 64 * "0",
        "Cpu": sizing.task_cpu,
        "Memory": sizing.task_memory_mib,
        "PortMappings": [{"ContainerPort": 8000}],
        "StopTimeout": sizing.stop_s,
        "Environment": [{"Name": "PILOTAGE_HOME", "Value": "/models"}],
        "Secrets": [
            {"Name": "HF_TOKEN", "ValueFrom": "arn:aws:secretsmanager:us-east-1:1:secret:hf"}
        ],
        "HealthCheck": {
            "Command": ["CMD", "python3", "-c", "open('http://127.0.0.1:8000/health/ready')"],
            "Interval": 30,
            "Timeout": 10,
            "Retries": 3,
            "StartPeriod": 300,
        },
        **accelerator,
    }
    distribution = {"OnDemandBaseCapacity": 1, "OnDemandPercentageAboveBaseCapacity": 0}
    data = (
        "#!/bin/bash\n",
        "echo ECS_CLUSTER=",
        Ref("Cluster"),
        " >> /etc/ecs/ecs.config\n",
        "echo ECS_ENABLE_SPOT_INSTANCE_DRAINING=true >> /etc/ecs/ecs.config\n" if spot else "",
    )
    resources = (
        Resource(name="Cluster", type="AWS::ECS::Cluster", properties={"Tags": tags}),
        _role("TaskRole", tags, metric, read),
        _role("ExecutionRole", tags, log),
        Resource(
            name="Repository",
            type="AWS::ECR::Repository",
            properties={"ImageScanningConfiguration": {"ScanOnPush": True}, "Tags": tags},
        ),
        Resource(
            name="Group",
            type="AWS::EC2::SecurityGroup",
            properties={
                "SecurityGroupIngress": [
                    {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "CidrIp": "10.0.0.0/16"}
                ],
                "Tags": tags,
            },
        ),
        Resource(
            name="Template",
            type="AWS::EC2::LaunchTemplate",
            properties={
                "LaunchTemplateData": {
                    "ImageId": Ref("Ami"),
                    "InstanceType": kind,
                    "MetadataOptions": {"HttpTokens": "required"},
                    "BlockDeviceMappings": [
                        {"Ebs": {"Encrypted": True, "VolumeSize": sizing.root_gib}}
                    ],
                    "UserData": {"Fn::Base64": Join(data)},
                },
                "TagSpecifications": [{"ResourceType": "launch-template", "Tags": tags}],
            },
        ),
        Resource(
            name="Instances",
            type="AWS::AutoScaling::AutoScalingGroup",
            properties={
                "MinSize": "0",
                "MaxSize": "3",
                "NewInstancesProtectedFromScaleIn": True,
                "Tags": [{**one, "PropagateAtLaunch": True} for one in tags],
                **(
                    {"MixedInstancesPolicy": {"InstancesDistribution": distribution}}
                    if spot
                    else {}
                ),
            },
        ),
        Resource(
            name="Provider",
            type="AWS::ECS::CapacityProvider",
            properties={
                "AutoScalingGroupProvider": {
                    "AutoScalingGroupArn": Ref("Instances"),
                    "ManagedScaling": {"Status": "ENABLED", "TargetCapacity": 100},
                    "ManagedTerminationProtection": "ENABLED",
                },
                "Tags": tags,
            },
        ),
        Resource(
            name="Task",
            type="AWS::ECS::TaskDefinition",
            properties={
                "RequiresCompatibilities": ["EC2"],
                "TaskRoleArn": Attribute("TaskRole", "Arn"),
                "ExecutionRoleArn": Attribute("ExecutionRole", "Arn"),
                "ContainerDefinitions": [container],
                "Tags": tags,
            },
        ),
        Resource(
            name="Balancer",
            type="AWS::ElasticLoadBalancingV2::LoadBalancer",
            properties={
                "Scheme": "internal",
                "Subnets": ["subnet-1", "subnet-2"],
                "LoadBalancerAttributes": [{"Key": "idle_timeout.timeout_seconds", "Value": "600"}],
                "Tags": tags,
            },
        ),
        Resource(
            name="Targets",
            type="AWS::ElasticLoadBalancingV2::TargetGroup",
            properties={
                "HealthCheckPath": "/health/ready",
                "HealthCheckIntervalSeconds": 15,
                "TargetGroupAttributes": [
                    {"Key": "deregistration_delay.timeout_seconds", "Value": "30"}
                ],
                "Tags": tags,
            },
        ),
        Resource(
            name="Service",
            type="AWS::ECS::Service",
            properties={
                "DesiredCount": sizing.desired,
                "HealthCheckGracePeriodSeconds": sizing.grace_s,
                "CapacityProviderStrategy": [{"CapacityProvider": Ref("Provider"), "Weight": 1}],
                "DeploymentConfiguration": {
                    "MinimumHealthyPercent": 100,
                    "MaximumPercent": 200,
                    "DeploymentCircuitBreaker": {"Enable": True, "Rollback": True},
                },
                "Tags": tags,
            },
        ),
        Resource(
            name="Scalable",
            type="AWS::ApplicationAutoScaling::ScalableTarget",
            properties={"MinCapacity": 2, "MaxCapacity": 2},
        ),
        Resource(
            name="Policy",
            type="AWS::ApplicationAutoScaling::ScalingPolicy",
            properties={
                "TargetTrackingScalingPolicyConfiguration": {
                    "CustomizedMetricSpecification": {
                        "Metrics": [{"Id": "m", "MetricStat": {"Stat": "p90"}}]
                    },
                    "ScaleInCooldown": 900,
                }
            },
        ),
        Resource(
            name="Slow",
            type="AWS::CloudWatch::Alarm",
            properties={"ExtendedStatistic": "p99"},
        ),
    )
    ami_path = "/aws/service/ecs/optimized-ami/amazon-linux-2023/{}/recommended/image_id"
    parameter = Parameter(
        name="Ami",
        type="AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>",
        default=ami_path.format("neuron" if neuron else "gpu"),
        description="The newest image",
    )
    graph = Graph(name=shipment.name, description="", parameters=(parameter,), resources=resources)
    return Rendered(files={}, graph=graph), shipment


def sagemaker(kind: str = "real-time") -> Case:
    """An endpoint: real-time, async, or of inference components."""
    strategy = "sagemaker-async" if kind == "async" else "sagemaker-realtime"
    shipment = prepare(ship_plans.spec(), ship_plans.plan(strategy=strategy, count=2))
    tags = _tags(shipment)
    variant: dict[str, Any] = {
        "InstanceType": "ml.g5.2xlarge",
        "ModelName": Attribute("Model", "ModelName"),
        "ContainerStartupHealthCheckTimeoutInSeconds": 900,
        "ModelDataDownloadTimeoutInSeconds": 900,
    }
    config: dict[str, Any] = {"ProductionVariants": [variant], "Tags": tags}
    more: tuple[Resource, ...] = ()
    if kind == "async":
        config["AsyncInferenceConfig"] = {
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 64}
        }
    if kind == "components":
        variant.pop("ModelName")
        variant["ManagedInstanceScaling"] = {"MinInstanceCount": 0}
        more = (
            Resource(
                name="Component",
                type="AWS::SageMaker::InferenceComponent",
                properties={
                    "Specification": {
                        "StartupParameters": {"ContainerStartupHealthCheckTimeoutInSeconds": 900}
                    },
                    "Tags": tags,
                },
            ),
        )
    resources = (
        Resource(
            name="Model",
            type="AWS::SageMaker::Model",
            properties={
                "PrimaryContainer": {"Environment": {"SM_VLLM_MAX_NUM_SEQS": "64"}},
                "Tags": tags,
            },
        ),
        Resource(name="Config", type="AWS::SageMaker::EndpointConfig", properties=config),
        Resource(
            name="Scalable",
            type="AWS::ApplicationAutoScaling::ScalableTarget",
            properties={
                "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
                "MinCapacity": 0 if kind == "async" else 1,
                "MaxCapacity": 2,
            },
        ),
        *more,
    )
    graph = Graph(name=shipment.name, description="", resources=resources)
    return Rendered(files={}, graph=graph), shipment


def function() -> Case:
    """A Lambda function with a URL."""
    shipment = prepare(ship_plans.spec(), None, target="lambda-bedrock")
    resources = (
        Resource(
            name="Function",
            type="AWS::Lambda::Function",
            properties={"MemorySize": 1024, "Timeout": 60, "Tags": _tags(shipment)},
        ),
        Resource(name="Url", type="AWS::Lambda::Url", properties={"AuthType": "AWS_IAM"}),
    )
    graph = Graph(name=shipment.name, description="", resources=resources)
    return Rendered(files={}, graph=graph), shipment


def bedrock(**request: Any) -> Case:
    """Provisioned throughput, as a request to the API."""
    shipment = prepare(
        ship_plans.spec(),
        ship_plans.plan(None, strategy="bedrock-provisioned", engine=None, count=2),
    )
    asked = {
        "provisionedModelName": "receipts",
        "modelId": "meta.llama3-1-8b-instruct-v1:0",
        "modelUnits": 2,
        "commitmentDuration": "OneMonth",
        **request,
    }
    return Rendered(files={}, extra={"request": asked}), shipment


def kubernetes(tensor_parallel: int = 1) -> Case:
    """A Deployment with what belongs to it."""
    shipment = prepare(
        ship_plans.spec(),
        ship_plans.plan(
            "g5.12xlarge" if tensor_parallel > 1 else "g5.2xlarge",
            count=2,
            tensor_parallel=tensor_parallel,
        ),
        target="kubernetes",
    )
    sizing = shipment.sizing
    meta = {"name": "receipts", "labels": {"app.kubernetes.io/managed-by": "pilotage"}}
    gpu = {"nvidia.com/gpu": sizing.gpus, "memory": f"{sizing.task_memory_mib}Mi"}
    probe = {"httpGet": {"path": "/health/ready", "port": 8000}}
    pod = {
        "terminationGracePeriodSeconds": sizing.stop_s,
        "securityContext": {"runAsNonRoot": True},
        "volumes": [
            {
                "name": "shm",
                "emptyDir": {"medium": "Memory", "sizeLimit": f"{sizing.shm_mib or 64}Mi"},
            }
        ],
        "containers": [
            {
                "name": "server",
                "image": "receipts@sha256:" + 64 * "0",
                "securityContext": {"allowPrivilegeEscalation": False},
                "resources": {"limits": gpu, "requests": gpu},
                "env": [{"name": "PILOTAGE_HOME", "value": "/models"}],
                "startupProbe": {**probe, "periodSeconds": 10, "failureThreshold": 60},
                "readinessProbe": probe,
                "livenessProbe": probe,
                "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
            }
        ],
    }
    documents = [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {"replicas": 2, "template": {"spec": pod}},
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": meta,
            "spec": {"maxUnavailable": 1},
        },
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": meta,
            "spec": {"minReplicas": 2, "maxReplicas": 2},
        },
    ]
    return Rendered(files={"all.yaml": yaml.safe_dump_all(documents)}), shipment


def terraform(tensor_parallel: int = 1, **scaling: Any) -> Case:
    """The root module that is really rendered: its values are what rules are held against."""
    plan = ship_plans.plan(
        "g5.12xlarge" if tensor_parallel > 1 else "g5.2xlarge",
        count=2,
        tensor_parallel=tensor_parallel,
    )
    spec = ship_plans.spec(shipping={"scaling": scaling})
    shipment = prepare(spec, plan, target="terraform")
    return target_of("terraform").render(shipment), shipment
