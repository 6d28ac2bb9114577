"""What the stack says, point by point: the defaults that are wrong for slow-loading models."""

import io
import json
import re
import subprocess
from dataclasses import replace

import pytest
import yaml
from api_requests import properties
from shipments import (
    ACCOUNT,
    CAPTIONS,
    CERTIFICATE,
    G5,
    G6E,
    KEYS,
    TOPIC,
    captions,
    finance,
    plan_of,
    receipts,
    shipment,
)

from pilotage.catalog.prices import load_price_book
from pilotage.errors import UsageError
from pilotage.serve.telemetry.logs import configure, log_access
from pilotage.serve.telemetry.request_record import RequestRecord
from pilotage.ship.cost import monthly_cost
from pilotage.ship.rules import check_rules
from pilotage.ship.targets import target_of
from pilotage.ship.targets.ecs.measurements import FILTERS
from pilotage.ship.targets.ecs.user_data import OWN_VOLUME
from pilotage.spec import Deployment, parse

HUB = {"network": {"vpc_id": "vpc-0a1b2c3d4e5f60718"}}


def render(given):
    return target_of("ecs").render(given)


def one(rendered, kind):
    (resource,) = rendered.graph.of_type(kind)
    return properties(rendered.graph, resource)


def named(rendered, name):
    (resource,) = (each for each in rendered.graph.resources if each.name == name)
    return properties(rendered.graph, resource)


def container(rendered):
    (made,) = one(rendered, "AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    return made


def service(rendered):
    return one(rendered, "AWS::ECS::Service")


def script(rendered):
    return one(rendered, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["UserData"]


def policy(rendered):
    made = one(rendered, "AWS::ApplicationAutoScaling::ScalingPolicy")
    return made["TargetTrackingScalingPolicyConfiguration"]


# The task and its service


def test_a_gpu_is_asked_for_by_the_container_that_uses_it():
    assert container(render(finance()))["ResourceRequirements"] == [{"Type": "GPU", "Value": "4"}]
    assert "Devices" not in container(render(finance()))["LinuxParameters"]


def test_neuron_devices_are_handed_in_one_by_one():
    made = container(render(captions()))
    assert "ResourceRequirements" not in made
    assert made["LinuxParameters"]["Devices"] == [
        {
            "HostPath": "/dev/neuron0",
            "ContainerPath": "/dev/neuron0",
            "Permissions": ["read", "write"],
        }
    ]
    assert {"Type": "distinctInstance"} in service(render(captions()))["PlacementConstraints"]


def test_a_model_has_time_to_load():
    rendered = render(finance())
    assert service(rendered)["HealthCheckGracePeriodSeconds"] == 2040
    # ECS's bound for the container's own check.
    assert container(rendered)["HealthCheck"]["StartPeriod"] == 300


def test_the_container_is_checked_without_curl_and_not_by_name():
    program, module, source = container(render(receipts()))["HealthCheck"]["Command"][1:]
    assert (program, module) == ("python3", "-c")
    assert "127.0.0.1:8000" in source
    compile(source, "check", "exec")


def test_requests_have_time_to_finish():
    rendered = render(receipts(replace(G5, drain_s=90, stop_s=120)))
    attributes = {
        attribute["Key"]: attribute["Value"]
        for attribute in one(rendered, "AWS::ElasticLoadBalancingV2::TargetGroup")[
            "TargetGroupAttributes"
        ]
    }
    assert attributes["deregistration_delay.timeout_seconds"] == "90"
    assert container(rendered)["StopTimeout"] == 120
    assert "ECS_CONTAINER_STOP_TIMEOUT=120s" in script(rendered)


def test_a_drain_beyond_a_containers_bound_is_the_machines_agents_to_wait_for():
    given = receipts(replace(G6E, drain_s=300, stop_s=310))
    rendered = render(given)
    assert "StopTimeout" not in container(rendered)
    assert "ECS_CONTAINER_STOP_TIMEOUT=310s" in script(rendered)
    assert check_rules(rendered, given) == []


def test_an_answer_that_takes_ten_minutes_is_not_cut():
    deployment = parse("name: long\nserving: {request_timeout: 10m}\n", "long.yaml")
    made = one(
        render(shipment(deployment, G5, {"scaling": {"metric": "none"}})),
        "AWS::ElasticLoadBalancingV2::LoadBalancer",
    )
    assert {"Key": "idle_timeout.timeout_seconds", "Value": "605"} in made["LoadBalancerAttributes"]


def test_a_container_can_do_little():
    made = container(render(receipts()))
    assert made["User"] == "10001:10001"
    assert made["ReadonlyRootFilesystem"] is True
    assert made["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}


def test_workers_of_one_model_share_memory():
    assert container(render(finance()))["LinuxParameters"]["SharedMemorySize"] == 16384
    assert "SharedMemorySize" not in container(render(receipts()))["LinuxParameters"]


def test_the_container_reads_the_spec_it_is_given():
    variables = {
        each["Name"]: each["Value"] for each in container(render(finance()))["Environment"]
    }
    spec = parse(variables["PILOTAGE_SPEC_YAML"], "spec.yaml")
    assert isinstance(spec, Deployment)
    assert (spec.name, spec.model.dtype) == ("finance", "int4")
    assert spec.shipping is None


def test_secrets_are_named_and_not_held():
    rendered = render(finance())
    given = {each["Name"]: each["ValueFrom"] for each in container(rendered)["Secrets"]}
    assert given["PILOTAGE_KEYS"] == KEYS
    assert given["HF_TOKEN"].endswith(":secret:hub-AbCdEf:HF_TOKEN::")
    (reading,) = statements(rendered, "ExecutionRole", "ReadSecrets")
    assert reading["Resource"] == [
        KEYS,
        f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:hub-AbCdEf",
    ]


@pytest.mark.parametrize(
    ("rollout", "least", "most", "machines"), [("spare", 100, 200, 12), ("downtime", 0, 100, 6)]
)
def test_a_change_takes_spare_machines_or_time(rollout, least, most, machines):
    rendered = render(receipts(G5, rollout=rollout))
    given = service(rendered)["DeploymentConfiguration"]
    assert (given["MinimumHealthyPercent"], given["MaximumPercent"]) == (least, most)
    assert given["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert one(rendered, "AWS::AutoScaling::AutoScalingGroup")["MaxSize"] == str(machines)
    assert any("stops the old tasks" in each for each in rendered.warnings) == (least == 0)


# Machines


def test_tasks_share_a_machine_where_they_fit():
    eight = replace(
        G5,
        instance_type="g6e.12xlarge",
        task_cpu=11264,
        task_memory_mib=94208,
        max_replicas=7,
        tasks_per_instance=4,
    )
    rendered = render(receipts(eight, rollout="downtime"))
    assert one(rendered, "AWS::AutoScaling::AutoScalingGroup")["MaxSize"] == "2"


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        (receipts(), "amazon-linux-2023/gpu"),
        (captions(), "amazon-linux-2023/neuron"),
        (receipts(replace(G5, instance_type="m7i.2xlarge", gpus=0)), "amazon-linux-2023"),
        (receipts(replace(G5, instance_type="g5g.2xlarge", gpus=0)), "amazon-linux-2023/arm64"),
    ],
)
def test_the_machine_image_fits_the_machine(given, folder):
    (parameter,) = (each for each in render(given).graph.parameters if each.name == "MachineImage")
    assert parameter.default == f"/aws/service/ecs/optimized-ami/{folder}/recommended/image_id"


@pytest.mark.parametrize("make", [receipts, finance, captions])
def test_the_start_script_is_one(make):
    text = script(render(make()))
    checked = subprocess.run(
        ["bash", "-n"], check=False, input=text, text=True, capture_output=True
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    assert text.startswith("#!/bin/bash\n")


def test_spot_machines_drain_and_have_an_on_demand_base():
    rendered = render(finance())
    assert "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true" in script(rendered)
    group = one(rendered, "AWS::AutoScaling::AutoScalingGroup")
    shares = group["MixedInstancesPolicy"]["InstancesDistribution"]
    assert shares["OnDemandBaseCapacity"] == 1
    assert shares["OnDemandPercentageAboveBaseCapacity"] == 50
    types = [
        each["InstanceType"]
        for each in group["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]
    ]
    assert types == ["g6e.12xlarge", "g6e.24xlarge"]
    # Tasks may go wherever a machine of the group may come from.
    (constraint,) = service(rendered)["PlacementConstraints"]
    assert constraint["Expression"].endswith("in [g6e.12xlarge, g6e.24xlarge]")
    assert not list(rendered.graph.of_type("AWS::AutoScaling::WarmPool"))


def test_the_base_on_demand_is_of_replicas_where_several_share_a_machine():
    shared = replace(
        G5, instance_type="g5.12xlarge", task_cpu=11776, task_memory_mib=47104,
        tasks_per_instance=4, desired=8, max_replicas=8,
    )  # fmt: skip
    given = receipts(shared, scaling={"spot_share": 1.0, "on_demand_base": 5})
    group = one(render(given), "AWS::AutoScaling::AutoScalingGroup")
    distribution = group["MixedInstancesPolicy"]["InstancesDistribution"]
    # Five replicas are on two machines of four.
    assert distribution["OnDemandBaseCapacity"] == 2
    bill = monthly_cost(given, load_price_book("us-east-1", given=["g5.12xlarge:spot=1"])).desired
    assert [charge.name for charge in bill.charges if "spot" in charge.formula] == []
    assert bill.instances == 2


def test_without_spot_there_is_one_type_and_no_draining():
    rendered = render(receipts())
    assert "SPOT" not in script(rendered)
    assert "MixedInstancesPolicy" not in one(rendered, "AWS::AutoScaling::AutoScalingGroup")


def test_only_ecs_moves_the_group():
    rendered = render(receipts())
    provider = one(rendered, "AWS::ECS::CapacityProvider")["AutoScalingGroupProvider"]
    assert provider["ManagedScaling"]["Status"] == "ENABLED"
    assert provider["ManagedTerminationProtection"] == "ENABLED"
    group = one(rendered, "AWS::AutoScaling::AutoScalingGroup")
    assert group["NewInstancesProtectedFromScaleIn"] is True
    assert "DesiredCapacity" not in group
    assert not list(rendered.graph.of_type("AWS::AutoScaling::ScalingPolicy"))


def test_the_gpus_load_comes_from_the_machine_that_has_nvidia_smi():
    text = script(render(receipts()))
    config = json.loads(re.search(r"pilotage\.json <<'END'\n(.*?)\nEND", text, re.DOTALL)[1])
    assert config["metrics"]["aggregation_dimensions"] == [["Deployment"]]
    gpu = config["metrics"]["metrics_collected"]["nvidia_gpu"]
    assert gpu["append_dimensions"] == {"Deployment": "receipts"}
    alarm = named(render(receipts()), "IdleGpusAlarm")
    assert alarm["MetricName"] == "nvidia_smi_utilization_gpu"
    assert alarm["Dimensions"] == [{"Name": "Deployment", "Value": "receipts"}]
    assert "amazon-cloudwatch-agent" not in script(render(captions()))


def test_machines_are_closed_and_encrypted():
    for make in (receipts, finance, captions):
        rendered = render(make())
        data = one(rendered, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
        assert data["MetadataOptions"]["HttpTokens"] == "required"
        assert "ECS_AWSVPC_BLOCK_IMDS=true" in script(rendered)
        assert all(each["Ebs"]["Encrypted"] for each in data["BlockDeviceMappings"])
        assert "SecurityGroupIngress" not in named(rendered, "InstanceSecurityGroup")


def test_weights_have_a_volume_where_the_machine_has_no_disks():
    volumes = one(render(captions()), "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    sizes = {
        each["DeviceName"]: each["Ebs"]["VolumeSize"] for each in volumes["BlockDeviceMappings"]
    }
    assert sizes == {"/dev/xvda": 100, "/dev/sdf": 48}
    assert "/dev/sdf" in script(render(captions()))
    assert "NVMe_Instance_Storage" in script(render(receipts()))


# Network and access


@pytest.mark.parametrize(
    ("disks", "parts", "found"),
    [
        # The system's disk has partitions, the instance's own is none of EBS's.
        (
            "/dev/nvme0n1 disk Amazon\\x20Elastic\\x20Block\\x20Store\n"
            "/dev/nvme1n1 disk Amazon\\x20Elastic\\x20Block\\x20Store\n"
            "/dev/nvme2n1 disk Amazon\\x20EC2\\x20NVMe\\x20Instance\\x20Storage\n",
            {"/dev/nvme0n1": 3, "/dev/nvme1n1": 1, "/dev/nvme2n1": 1},
            "/dev/nvme1n1",
        ),
        (
            "/dev/nvme0n1 disk Amazon\\x20Elastic\\x20Block\\x20Store\n",
            {"/dev/nvme0n1": 3},
            "",
        ),
    ],
)
def test_the_volume_for_weights_is_found_without_its_link(tmp_path, disks, parts, found):
    # The ECS AMI is built on Amazon Linux's minimal one, where links for EBS may be missing.
    (tmp_path / "disks").write_text(disks)
    for name, count in parts.items():
        (tmp_path / name.rpartition("/")[2]).write_text(f"{name}\n" * count)
    stub = tmp_path / "lsblk"
    stub.write_text(
        f'#!/bin/sh\n[ "$1" = -dnrpo ] && exec cat {tmp_path}/disks\n'
        f'exec cat {tmp_path}/"$(basename "$3")"\n'
    )
    (tmp_path / "readlink").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "sleep").write_text("#!/bin/sh\n")
    for each in ("lsblk", "readlink", "sleep"):
        (tmp_path / each).chmod(0o755)
    ran = subprocess.run(
        ["bash", "-c", f'set -uo pipefail\n{OWN_VOLUME.replace("seq 60", "seq 2")}echo "$volume"'],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ran.stdout.strip(), ran.stderr) == (found, "")


def test_nobody_comes_in_but_whom_the_spec_names():
    (rule, redirect) = named(render(finance()), "LoadBalancerSecurityGroup")["SecurityGroupIngress"]
    assert (rule["CidrIp"], rule["FromPort"], redirect["FromPort"]) == ("198.51.100.0/24", 443, 80)
    (inside,) = named(render(receipts()), "LoadBalancerSecurityGroup")["SecurityGroupIngress"]
    assert (inside["CidrIp"], inside["FromPort"]) == ("10.64.0.0/16", 80)
    (unknown,) = named(render(captions()), "LoadBalancerSecurityGroup")["SecurityGroupIngress"]
    assert unknown["CidrIp"] == "127.0.0.1/32"
    assert "AllowedCidr" in render(captions()).extra["lookups"]


def test_descriptions_of_rules_are_of_characters_that_ec2_takes():
    allowed = re.compile(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{1,255}")
    for make in (receipts, finance, captions):
        rendered = render(make())
        text = yaml.safe_load(rendered.files["template.yaml"])["Resources"]
        found = [
            each
            for name, resource in text.items()
            if "SecurityGroup" in resource["Type"]
            for each in _descriptions(resource["Properties"])
        ]
        assert len(found) > 5
        assert [each for each in found if not allowed.fullmatch(each)] == []


def _descriptions(value):
    if isinstance(value, dict):
        for key, part in value.items():
            if key in ("Description", "GroupDescription"):
                yield part
            else:
                yield from _descriptions(part)
    elif isinstance(value, list):
        for part in value:
            yield from _descriptions(part)


def test_plain_http_is_said_aloud_and_a_certificate_ends_it():
    assert any("Plain HTTP" in each for each in render(receipts()).warnings)
    assert "Plain HTTP" in render(receipts()).files["README.md"]
    secure = render(finance())
    assert not any("Plain HTTP" in each for each in secure.warnings)
    listener = named(secure, "Listener")
    assert listener["Certificates"] == [{"CertificateArn": CERTIFICATE}]
    assert named(secure, "RedirectListener")["DefaultActions"][0]["Type"] == "redirect"


def test_a_given_vpc_is_used_and_nothing_is_made_in_it():
    rendered = render(captions())
    assert not [one for one in rendered.graph.resources if one.type.startswith("AWS::EC2::Subnet")]
    subnets = service(rendered)["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"]
    assert subnets == ["subnet-0a1b2c3d4e5f60711", "subnet-0a1b2c3d4e5f60712"]


# Roles


def statements(rendered, role, sid):
    (inline,) = named(rendered, role)["Policies"]
    return [each for each in inline["PolicyDocument"]["Statement"] if each["Sid"] == sid]


READS_WITHOUT_RESOURCES = {"ecr:GetAuthorizationToken", "ecs:DiscoverPollEndpoint"}


@pytest.mark.parametrize("make", [receipts, finance, captions])
def test_no_role_may_write_everywhere(make):
    rendered = render(make())
    for role in ("ExecutionRole", "TaskRole", "InstanceRole"):
        for inline in named(rendered, role).get("Policies", ()):
            for statement in inline["PolicyDocument"]["Statement"]:
                assert not any("*" in action for action in statement["Action"])
                if statement["Resource"] == ["*"]:
                    bare = set(statement["Action"]) <= READS_WITHOUT_RESOURCES
                    assert bare or "cloudwatch:namespace" in str(statement["Condition"])


def test_the_server_reads_its_weights_and_nothing_else():
    rendered = render(captions())
    (reading,) = statements(rendered, "TaskRole", "ReadWeights")
    assert reading["Action"] == ["s3:GetObject"]
    assert reading["Resource"] == [
        "arn:Partition-id:s3:::models-of-ours/captions/blip",
        "arn:Partition-id:s3:::models-of-ours/captions/blip/*",
    ]
    (listing,) = statements(rendered, "TaskRole", "ListWeights")
    assert listing["Condition"]["StringLike"]["s3:prefix"] == ["captions/blip", "captions/blip/*"]
    assert "Policies" not in named(render(finance()), "TaskRole")


def test_tiers_may_be_asked_and_no_other_model():
    spec = """
name: support
routing:
  tiers:
    - {name: small, backends: [{kind: local}]}
    - {name: big, backends: [{kind: bedrock, model: anthropic.claude-3-haiku-20240307-v1:0}]}
    - {name: own, backends: [{kind: sagemaker, endpoint: house-model}]}
"""
    rendered = render(shipment(parse(spec, "support.yaml"), G5, {"scaling": {"metric": "none"}}))
    (models,) = statements(rendered, "TaskRole", "AskModels")
    assert [one.split(":", 2)[2] for one in models["Resource"]] == [
        "bedrock:Region-id::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"
    ]
    (endpoints,) = statements(rendered, "TaskRole", "AskEndpoints")
    assert endpoints["Resource"][0].endswith(":endpoint/house-model")


ROUTED = """
name: support
routing:
  ledger: {url_env: LEDGER_URL}
  tiers:
    - {name: small, backends: [{kind: local}]}
    - name: big
      price: {input: 1, output: 2}
      backends:
        - {kind: openai, url: "https://api.example.com/v1", model: b, api_key_env: BIG_KEY}
        - {kind: openai, url: "http://10.1.2.3:8000/v1", model: b}
        - {kind: openai, url: "https://inside.example.com:8443/v1", model: b}
"""


def secret(name):
    return f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:{name}-AbCdEf"


def routed(**shipping):
    given = {"scaling": {"metric": "none"}, **shipping}
    return shipment(parse(ROUTED, "support.yaml"), G5, given)


def test_a_tiers_key_is_handed_over_by_its_arn():
    given = {"BIG_KEY": f"{secret('tiers')}:BIG::", "LEDGER_URL": secret("ledger")}
    rendered = render(routed(secrets=given))
    held = {each["Name"]: each["ValueFrom"] for each in container(rendered)["Secrets"]}
    assert given.items() <= held.items()
    (reading,) = statements(rendered, "ExecutionRole", "ReadSecrets")
    assert reading["Resource"][1:] == [secret("tiers"), secret("ledger")]
    assert statements(rendered, "ExecutionRole", "DecryptSecrets") == []
    names = {each["Name"] for each in container(rendered)["Environment"]}
    assert names.isdisjoint(given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "the tier big reads the variable BIG_KEY"),
        ({"BIG_KEY": secret("tiers")}, "the ledger reads the variable LEDGER_URL"),
    ],
)
def test_a_variable_that_nothing_gives_is_refused(given, said):
    with pytest.raises(UsageError, match=said) as caught:
        render(routed(secrets=given))
    assert caught.value.where == "shipping.secrets"
    assert "ARN:KEY::" in caught.value.hint


def test_tiers_on_other_ports_and_the_ledger_are_reached():
    given = {"BIG_KEY": secret("tiers"), "LEDGER_URL": secret("ledger")}
    out = named(render(routed(secrets=given)), "TaskSecurityGroup")["SecurityGroupEgress"]
    ways = [(each["FromPort"], each["CidrIp"]) for each in out]
    assert ways == [
        (443, "0.0.0.0/0"),
        (8000, "10.1.2.3/32"),
        (8443, "0.0.0.0/0"),
        (5432, "10.0.0.0/8"),
        (5432, "172.16.0.0/12"),
        (5432, "192.168.0.0/16"),
    ]
    for each in out:
        assert re.fullmatch(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{1,255}", each["Description"])


def test_what_a_key_of_ones_own_encrypts_can_be_read():
    key = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    rendered = render(receipts(weights_uri="s3://ours/receipts", kms_key_arns=[key]))
    (opening,) = statements(rendered, "ExecutionRole", "DecryptSecrets")
    (reading,) = statements(rendered, "TaskRole", "DecryptWeights")
    for each, service_name in ((opening, "secretsmanager"), (reading, "s3")):
        assert (each["Action"], each["Resource"]) == (["kms:Decrypt"], [key])
        through = each["Condition"]["StringEquals"]["kms:ViaService"]
        assert through.startswith(f"{service_name}.")


# Scaling, alarms, spend


def test_p90_is_a_stat_among_metrics_and_never_a_statistic():
    held = policy(render(finance()))
    (metric,) = held["CustomizedMetricSpecification"]["Metrics"]
    assert metric["MetricStat"]["Stat"] == "p90"
    assert "Statistic" not in held["CustomizedMetricSpecification"]
    assert held["TargetValue"] == 2400  # milliseconds: 0.8 of the promised 3 s


@pytest.mark.parametrize(
    ("metric", "target"),
    [("queue", 6.4), ("tokens_in_flight", 0.7 * 64 * 240), ("requests", 840.0), ("gpu", 70.0)],
)
def test_each_metric_can_be_held(metric, target):
    held = policy(render(receipts(G6E, scaling={"metric": metric})))
    assert held["TargetValue"] == pytest.approx(target)
    kinds = {"CustomizedMetricSpecification", "PredefinedMetricSpecification"}
    assert len(kinds & set(held)) == 1


def test_the_queue_is_what_littles_law_says():
    metrics = policy(render(receipts(scaling={"metric": "queue"})))["CustomizedMetricSpecification"]
    expression = metrics["Metrics"][-1]["Expression"]
    # 90 requests of a minute waited 2 s each, in two tasks: 1.5 wait in each at any time.
    waited, tasks = 90 * 2000, 2
    found = eval(expression, {"FILL": lambda value, _: value, "waited": waited, "tasks": tasks})
    assert found == pytest.approx(1.5)


def test_a_target_is_given_where_nothing_tells_it():
    quiet = parse("name: quiet\n", "quiet.yaml")
    with pytest.raises(UsageError, match=r"shipping\.scaling\.target: .* p90_latency"):
        render(shipment(quiet, G5, {"scaling": {"metric": "p90_latency"}}))
    held = policy(render(shipment(quiet, G5, {"scaling": {"metric": "queue", "target": 3}})))
    assert held["TargetValue"] == 3


def test_no_scaling_where_none_is_wanted():
    rendered = render(receipts(scaling={"metric": "none"}))
    assert not list(rendered.graph.of_type("AWS::ApplicationAutoScaling::ScalableTarget"))


def test_the_lines_that_metrics_are_taken_from_have_their_fields():
    stream = io.StringIO()
    configure("json", "info", stream)
    record = RequestRecord(
        endpoint="/v1/chat/completions",
        status=200,
        duration_s=1.5,
        model="receipts",
        operation="chat",
        prompt_tokens=180,
        completion_tokens=60,
        queue_s=0.25,
        ttft_s=0.31,
    )
    log_access(record, request_id="req-1", key=None)
    line = json.loads(stream.getvalue())
    for each in FILTERS:
        for field in re.findall(r"\$\.(\w+)", f"{each.pattern} {each.value}"):
            assert field in line, f"{each.metric} reads {field}"
    assert (line["queue_ms"], line["logger"]) == (250.0, "pilotage.access")


def test_alarms_are_for_what_was_promised_and_tell_the_topic():
    rendered = render(finance())
    slow = named(rendered, "SlowAnswersAlarm")
    assert (slow["ExtendedStatistic"], slow["Threshold"]) == ("p99", 3000)
    alarms = [
        properties(rendered.graph, each)
        for each in rendered.graph.of_type("AWS::CloudWatch::Alarm")
    ]
    assert len(alarms) == 7
    assert all(each["AlarmActions"] == [TOPIC] for each in alarms)
    assert any("tell nobody" in each for each in render(receipts()).notes)


def test_a_crash_loop_is_told_from_a_load():
    given = named(render(finance()), "CrashLoopAlarm")
    assert given["EvaluationPeriods"] * 300 >= 2040 + 600
    assert given["TreatMissingData"] == "breaching"


def day(rendered):
    return one(rendered, "AWS::Budgets::Budget")["Budget"]["BudgetLimit"]["Amount"]


def test_a_day_that_costs_half_more_than_is_to_be_expected_is_too_dear():
    given = receipts()
    bill = monthly_cost(given, load_price_book("us-east-1")).desired.usd
    # The instances alone are what the plan of the test predicts.
    assert float(bill) > 3270
    assert day(render(given)) == pytest.approx(1.5 * float(bill) * 24 / 730, abs=0.01)
    assert day(render(receipts(alarms={"usd_per_day": 99.0}))) == 99.0


def test_replicas_that_the_plan_does_not_need_set_no_alarm_off():
    # The load needs one, availability two: twice what the plan predicts is no surprise.
    lone = replace(receipts(), plan=plan_of(receipts().deployment, replace(G6E, desired=1), 1700.0))
    assert day(render(lone)) > 2 * 1700 * 24 / 730
    # Where no price comes with Pilotage, the plan's word stands.
    abroad = receipts(region="eu-west-1")
    assert day(render(abroad)) == pytest.approx(1.5 * 3270 * 24 / 730, abs=0.01)


# Tags, what comes before, what cannot be


@pytest.mark.parametrize("make", [receipts, finance, captions])
def test_everything_made_bears_the_deployments_tags(make):
    given = make()
    rendered = render(given)
    bare = set()
    for resource in rendered.graph.resources:
        found = properties(rendered.graph, resource)
        pairs = found.get("Tags", found.get("ResourceTags"))
        if pairs is None and "TagSpecifications" in found:
            pairs = found["TagSpecifications"][0]["Tags"]
        if pairs is None:
            bare.add(resource.type)
        else:
            assert {each["Key"]: each["Value"] for each in pairs}.items() >= given.tags.items()
    assert bare <= {
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        "AWS::EC2::Route",
        "AWS::EC2::SecurityGroupEgress",
        "AWS::EC2::SecurityGroupIngress",
        "AWS::EC2::SubnetRouteTableAssociation",
        "AWS::EC2::VPCGatewayAttachment",
        "AWS::ECS::ClusterCapacityProviderAssociations",
        "AWS::IAM::InstanceProfile",
        "AWS::Logs::MetricFilter",
    }
    assert service(rendered)["PropagateTags"] == "SERVICE"


def test_image_and_keys_come_first():
    rendered = render(receipts())
    before = yaml.safe_load(rendered.files["prerequisites.yaml"])
    repository = before["Resources"]["Repository"]["Properties"]
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
    json.loads(repository["LifecyclePolicy"]["LifecyclePolicyText"])
    assert set(rendered.extra["placeholders"]) == {"ImageDigest", "KeysSecretArn"}
    assert render(finance()).extra["placeholders"] == {}
    assert render(finance()).extra["prerequisites"] is None
    assert "prerequisites.yaml" not in render(finance()).files


def test_parameters_are_a_file_of_their_own():
    rendered = render(receipts())
    given = {
        each["ParameterKey"]: each["ParameterValue"]
        for each in json.loads(rendered.files["parameters.json"])
    }
    assert given["ZoneA"] == "us-east-1a"
    assert given["DesiredCount"] == "2"


@pytest.mark.parametrize(
    ("given", "where", "said"),
    [
        (receipts(replace(G5, instance_type=None)), "shipping.target", "no instance type"),
        (receipts(replace(G5, instance_type="g99.xlarge")), "plan.", 'no instance type "g99'),
        (receipts(replace(G5, gpus=4)), "plan.", "needs 4 GPUs, and g5.2xlarge has 1"),
        (receipts(replace(CAPTIONS, instance_type="g5.2xlarge")), "plan.", "Neuron devices"),
        (receipts(replace(G5, instance_type="g5g.2xlarge")), "plan.", "arm64"),
        (receipts(replace(CAPTIONS, tasks_per_instance=2)), "plan.", "2 tasks are to share"),
        (receipts(replace(G5, min_replicas=0)), "shipping.scaling.min", "from zero"),
        (receipts(network={"subnets": ["subnet-1"]}), "shipping.network.vpc_id", "without the VPC"),
        (receipts(**HUB), "shipping.network.subnets", "two zones, and 0 are given"),
        (
            shipment(parse("name: n\n", "n.yaml"), CAPTIONS, {"scaling": {"metric": "gpu"}}),
            "shipping.scaling.metric",
            "no GPUs",
        ),
    ],
)
def test_what_ecs_cannot_run_is_refused(given, where, said):
    with pytest.raises(UsageError) as caught:
        render(given)
    assert caught.value.where.startswith(where)
    assert said in caught.value.message
    assert caught.value.hint


def test_a_target_that_is_not_there_is_named():
    with pytest.raises(UsageError, match='no target "moon"'):
        target_of("moon")
