"""The kept renders, and what judges them without an account: cfn-lint, botocore."""

import pytest
from api_requests import camel, problems, properties
from cfnlint.api import lint
from cfnlint.core import get_rules
from goldens import check_golden
from shipments import captions, finance, receipts

from pilotage.ship.cloudformation import LARGEST_BODY
from pilotage.ship.targets import target_of

SHIPMENTS = {"ecs-receipts": receipts, "ecs-finance": finance, "ecs-captions": captions}
TEMPLATES = ("template.yaml", "prerequisites.yaml")


@pytest.fixture(scope="module")
def renders():
    return {name: target_of("ecs").render(make()) for name, make in SHIPMENTS.items()}


@pytest.mark.parametrize("name", SHIPMENTS)
def test_renders_are_as_kept(renders, name):
    check_golden(name, renders[name].files)


@pytest.mark.parametrize("name", SHIPMENTS)
def test_templates_fit_into_a_request(renders, name):
    assert len(renders[name].files["template.yaml"].encode()) < LARGEST_BODY


@pytest.fixture(scope="module")
def lint_rules():
    return get_rules([], [], ["W", "E"])


@pytest.mark.parametrize("name", SHIPMENTS)
def test_cfn_lint_finds_nothing(renders, name, lint_rules):
    for file in TEMPLATES:
        if text := renders[name].files.get(file):
            found = lint(text, lint_rules, ["us-east-1"])
            assert [f"{one.rule.id} {one.path} {one.message}" for one in found] == []


def test_cfn_lint_would_find_something(renders, lint_rules):
    broken = renders["ecs-receipts"].files["template.yaml"].replace("awsvpc", "aws-vpc")
    assert [one.rule.id for one in lint(broken, lint_rules, ["us-east-1"])] == ["E3030"]


def _task(given):
    return "ecs", "RegisterTaskDefinition", camel(given)


def _service(given):
    request = camel(given)
    request["serviceName"] = "service"
    request["placementStrategy"] = request.pop("placementStrategies")
    request["desiredCount"] = int(request["desiredCount"])
    return "ecs", "CreateService", request


def _provider(given):
    return "ecs", "CreateCapacityProvider", {"name": "provider", **camel(given)}


def _cluster(given):
    request = camel(given)
    request["settings"] = request.pop("clusterSettings")
    return "ecs", "CreateCluster", request


def _launch(given):
    return "ec2", "CreateLaunchTemplate", {"LaunchTemplateName": "template", **given}


def _group(given):
    request = {**given, "AutoScalingGroupName": "group"}
    request["VPCZoneIdentifier"] = ",".join(request["VPCZoneIdentifier"])
    request.pop("MetricsCollection")
    return "autoscaling", "CreateAutoScalingGroup", {
        **request, "MinSize": int(request["MinSize"]), "MaxSize": int(request["MaxSize"])
    }  # fmt: skip


def _target_group(given):
    request = {**given, "Name": "group"}
    request.pop("TargetGroupAttributes")
    return "elbv2", "CreateTargetGroup", request


def _balancer(given):
    request = {**given, "Name": "balancer"}
    request.pop("LoadBalancerAttributes")
    return "elbv2", "CreateLoadBalancer", request


def _scalable(given):
    request = {**given, "Tags": {one["Key"]: one["Value"] for one in given["Tags"]}}
    return "application-autoscaling", "RegisterScalableTarget", request


def _policy(given):
    request = {
        **given,
        "ServiceNamespace": "ecs",
        "ResourceId": "service/cluster/service",
        "ScalableDimension": "ecs:service:DesiredCount",
    }
    request.pop("ScalingTargetId")
    return "application-autoscaling", "PutScalingPolicy", request


REQUESTS = {
    "AWS::ECS::TaskDefinition": _task,
    "AWS::ECS::Service": _service,
    "AWS::ECS::CapacityProvider": _provider,
    "AWS::ECS::Cluster": _cluster,
    "AWS::EC2::LaunchTemplate": _launch,
    "AWS::AutoScaling::AutoScalingGroup": _group,
    "AWS::ElasticLoadBalancingV2::TargetGroup": _target_group,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _balancer,
    "AWS::ElasticLoadBalancingV2::Listener": lambda given: ("elbv2", "CreateListener", given),
    "AWS::ApplicationAutoScaling::ScalableTarget": _scalable,
    "AWS::ApplicationAutoScaling::ScalingPolicy": _policy,
    "AWS::CloudWatch::Alarm": lambda given: (
        "cloudwatch", "PutMetricAlarm", {"AlarmName": "alarm", **given}
    ),
    "AWS::Logs::MetricFilter": lambda given: (
        "logs", "PutMetricFilter", {"filterName": "filter", **camel(given)}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHIPMENTS)
def test_botocore_would_send_it(renders, name):
    graph = renders[name].graph
    checked = set()
    for resource in graph.resources:
        if resource.type in REQUESTS:
            service, operation, request = REQUESTS[resource.type](properties(graph, resource))
            if resource.type == "AWS::Logs::MetricFilter":
                for one in request["metricTransformations"]:
                    one["metricValue"] = str(one["metricValue"])
            assert (resource.name, problems(service, operation, request)) == (resource.name, "")
            checked.add(resource.type)
    assert checked == set(REQUESTS)


def test_botocore_would_find_a_number_for_a_gpu_count(renders):
    graph = renders["ecs-receipts"].graph
    (task,) = graph.of_type("AWS::ECS::TaskDefinition")
    _, _, request = _task(properties(graph, task))
    request["containerDefinitions"][0]["resourceRequirements"][0]["value"] = 1
    assert "Invalid type" in problems("ecs", "RegisterTaskDefinition", request)
