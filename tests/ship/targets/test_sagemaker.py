import json
from dataclasses import replace

import boto3
import pytest
from api_requests import problems, properties
from goldens import check_golden
from hosted_shipments import ENDPOINTS, TOPIC, VLLM, kinds, receipts
from judges import lint_findings
from moto.server import ThreadedMotoServer

from pilotage.errors import UsageError
from pilotage.ship.rules import check_rules
from pilotage.ship.targets import target_of

ROLE = "arn:aws:iam::123456789012:role/execution"


@pytest.fixture(scope="module")
def renders():
    return {
        name: (one, target_of(one.target).render(one)) for name, one in kinds(ENDPOINTS).items()
    }


def one(rendered, kind):
    (found,) = rendered.graph.of_type(f"AWS::{kind}")
    return properties(rendered.graph, found)


def render(shipment):
    return target_of(shipment.target).render(shipment)


def variant(rendered):
    (found,) = one(rendered, "SageMaker::EndpointConfig")["ProductionVariants"]
    return found


def test_receipts_are_as_kept(renders):
    check_golden("sagemaker-receipts", renders["real-time"][1].files)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_nobody_finds_anything(renders, name):
    shipment, rendered = renders[name]
    assert lint_findings(rendered.files["template.yaml"]) == []
    assert check_rules(rendered, shipment) == []


def _named(name):
    return lambda given: {name: "name", **given}


def _endpoint(given):
    # The API asks for a name; CloudFormation's property is the same.
    return given


def _policy(given):
    request = {
        **given,
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/e/variant/main",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    request.pop("ScalingTargetId")
    return request


REQUESTS = {
    "AWS::SageMaker::Model": ("sagemaker", "CreateModel", _named("ModelName")),
    "AWS::SageMaker::EndpointConfig": (
        "sagemaker", "CreateEndpointConfig", _named("EndpointConfigName"),
    ),
    "AWS::SageMaker::Endpoint": ("sagemaker", "CreateEndpoint", _endpoint),
    "AWS::SageMaker::InferenceComponent": ("sagemaker", "CreateInferenceComponent", None),
    "AWS::ApplicationAutoScaling::ScalableTarget": (
        "application-autoscaling", "RegisterScalableTarget",
        lambda given: {**given, "Tags": {tag["Key"]: tag["Value"] for tag in given["Tags"]}},
    ),
    "AWS::ApplicationAutoScaling::ScalingPolicy": (
        "application-autoscaling", "PutScalingPolicy", _policy,
    ),
    "AWS::CloudWatch::Alarm": ("cloudwatch", "PutMetricAlarm", None),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDPOINTS)
def test_botocore_would_send_it(renders, name):
    graph = renders[name][1].graph
    for resource in graph.resources:
        if resource.type in REQUESTS:
            service, operation, change = REQUESTS[resource.type]
            request = properties(graph, resource)
            if resource.type == "AWS::SageMaker::InferenceComponent":
                # CloudFormation has it within an update's configuration, the API in the update.
                request.pop("DeploymentConfig")
            request = change(request) if change else request
            if "ExecutionRoleArn" in request:
                request["ExecutionRoleArn"] = ROLE
            assert (resource.name, problems(service, operation, request)) == (resource.name, "")


def test_settings_become_the_containers_variables(renders):
    container = one(renders["real-time"][1], "SageMaker::Model")["PrimaryContainer"]
    assert container["Environment"] == {
        "SM_VLLM_MODEL": "/opt/ml/model",
        "SM_VLLM_MAX_MODEL_LEN": "4096",
        "SM_VLLM_MAX_NUM_SEQS": "64",
        "SM_VLLM_GPU_MEMORY_UTILIZATION": "0.9",
        "SM_VLLM_TENSOR_PARALLEL_SIZE": "1",
        "SM_VLLM_PIPELINE_PARALLEL_SIZE": "1",
        "SM_VLLM_ENABLE_PREFIX_CACHING": "true",
        "SM_VLLM_SERVED_MODEL_NAME": "Llama-3.2-11B-Vision-Instruct",
        "SM_VLLM_QUANTIZATION": "fp8",
    }
    source = container["ModelDataSource"]["S3DataSource"]
    assert source["CompressionType"] == "None"
    assert source["S3Uri"].endswith("/")


def test_weights_of_the_hub_are_named_with_their_commit():
    made = render(receipts(weights_uri=None))
    variables = one(made, "SageMaker::Model")["PrimaryContainer"]["Environment"]
    assert variables["SM_VLLM_MODEL"] == "meta-llama/Llama-3.2-11B-Vision-Instruct"
    assert variables["SM_VLLM_REVISION"] == "9eb2daa"
    assert one(made, "SageMaker::Model")["EnableNetworkIsolation"] is False
    assert "ModelDataDownloadTimeoutInSeconds" not in variant(made)


def test_our_image_gets_its_spec_in_pieces_that_fit():
    long = {f"adapter-{n}": f"/adapters/a-long-name-of-an-adapter-{n}" for n in range(40)}
    made = render(receipts(image=None, serving={"lora_adapters": long}))
    variables = one(made, "SageMaker::Model")["PrimaryContainer"]["Environment"]
    assert all(len(value) <= 1024 for value in variables.values())
    pieces = [key for key in variables if key.startswith("PILOTAGE_SPEC_YAML")]
    assert len(pieces) > 1
    text = "".join(variables[key] for key in pieces)
    assert "source: file:///opt/ml/model" in text
    assert "adapter-39" in text
    assert "--port 8080" in variables["PILOTAGE_SERVE_ARGUMENTS"]
    assert "ImageDigest" in {one.name for one in made.graph.parameters}


def test_time_outs_follow_the_prediction_and_its_margin():
    made = render(receipts(sizing={"fetch_s": 600.0, "load_s": 400.0, "grace_s": 1500}))
    found = variant(made)
    assert found["ContainerStartupHealthCheckTimeoutInSeconds"] == 1500
    assert found["ModelDataDownloadTimeoutInSeconds"] == 900


def test_a_margin_beyond_sagemakers_is_cut_and_said():
    made = render(receipts(sizing={"fetch_s": 2000.0, "load_s": 1000.0, "grace_s": 6000}))
    assert variant(made)["ContainerStartupHealthCheckTimeoutInSeconds"] == 3600
    assert any("6,000 s" in note for note in made.notes)


def test_a_prediction_beyond_sagemakers_is_refused_with_what_to_do():
    with pytest.raises(UsageError, match=r"3,601 s by prediction.*ecs"):
        render(receipts(sizing={"fetch_s": 3000.0, "load_s": 601.0, "grace_s": 6000}))


@pytest.mark.parametrize(
    ("field", "shipping", "words"),
    [
        ("shipping.image.uri", {"image": {"uri": "docker.io/vllm/vllm-openai:v1"}}, "private ECR"),
        (
            "shipping.image.uri",
            {"image": {"uri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/vllm:v1"}},
            "no digest",
        ),
        ("shipping.scaling.spot_share", {"scaling": {"spot_share": 0.5}}, "no spot"),
        ("shipping.scaling.metric", {"scaling": {"metric": "tokens_in_flight"}}, "no metric"),
        ("shipping.scaling.metric", {"scaling": {"metric": "none", "min": 0}}, "needs scaling"),
        (
            "shipping.hub_token_secret_arn",
            {
                "weights_uri": None,
                "hub_token_secret_arn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:hub",
            },
            "token would be readable",
        ),
        (
            "shipping.network.vpc_id",
            {"network": {"subnets": ["subnet-0a1b2c3d4e5f60711"]}},
            "without their VPC",
        ),
    ],
)
def test_what_sagemaker_cannot_do_is_refused(field, shipping, words):
    with pytest.raises(UsageError, match=words) as caught:
        render(receipts(**shipping))
    assert caught.value.where == field
    assert caught.value.hint


def test_a_name_that_is_too_long_is_refused():
    shipment = receipts()
    deployment = shipment.deployment.model_copy(update={"name": "n" * 60})
    long = type(shipment)(
        deployment=deployment,
        shipping=shipment.shipping,
        target="sagemaker",
        sizing=shipment.sizing,
        plan=shipment.plan,
    )
    with pytest.raises(UsageError, match="69 characters"):
        render(long)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        # Little's law: 45 requests a second and instance, 0.8 s each, 80 % of it.
        ({"metric": "queue"}, 28.8),
        ({"metric": "queue", "target": 4}, 32.8),
        ({"metric": "requests"}, 2160.0),
        ({"metric": "p90_latency"}, 2_400_000.0),
        ({"metric": "p90_latency", "target": 1.5}, 1_500_000.0),
        ({"metric": "gpu", "target": 60}, 60.0),
    ],
)
def test_targets_are_given_or_derived(scaling, expected):
    policy = one(render(receipts(scaling=scaling)), "ApplicationAutoScaling::ScalingPolicy")
    held = policy["TargetTrackingScalingPolicyConfiguration"]
    assert held["TargetValue"] == pytest.approx(expected)


def test_a_percentile_is_never_a_top_level_statistic(renders):
    policy = one(renders["own-vpc"][1], "ApplicationAutoScaling::ScalingPolicy")
    held = policy["TargetTrackingScalingPolicyConfiguration"]["CustomizedMetricSpecification"]
    assert "Statistic" not in held
    assert [query["MetricStat"]["Stat"] for query in held["Metrics"]] == ["p90"]


def test_zero_in_real_time_is_an_inference_component(renders):
    made = renders["zero"][1]
    assert variant(made)["ManagedInstanceScaling"]["MinInstanceCount"] == 0
    assert "ModelName" not in variant(made)
    assert one(made, "ApplicationAutoScaling::ScalableTarget")["ResourceId"] == (
        "inference-component/pilotage-receipts"
    )
    alarms = {found.name: found for found in made.graph.of_type("AWS::CloudWatch::Alarm")}
    assert alarms["Wake"].properties["MetricName"] == "NoCapacityInvocationFailures"
    assert any("requests fail until the first copy" in note for note in made.notes)


def test_async_goes_to_zero_by_its_backlog_and_back_by_an_alarm(renders):
    made = renders["async-zero"][1]
    assert one(made, "ApplicationAutoScaling::ScalableTarget")["MinCapacity"] == 0
    alarms = {found.name: found for found in made.graph.of_type("AWS::CloudWatch::Alarm")}
    assert alarms["Wake"].properties["MetricName"] == "HasBacklogWithoutCapacity"
    output = one(made, "SageMaker::EndpointConfig")["AsyncInferenceConfig"]
    assert output["ClientConfig"]["MaxConcurrentInvocationsPerInstance"] == 64
    assert output["OutputConfig"]["S3OutputPath"] == "s3://Answers-id/answers/"


def test_a_bad_change_is_taken_back_by_alarms_that_are_there_before(renders):
    (endpoint,) = renders["real-time"][1].graph.of_type("AWS::SageMaker::Endpoint")
    rollback = endpoint.properties["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    assert [alarm["AlarmName"] for alarm in rollback] == [
        "pilotage-receipts-Errors",
        "pilotage-receipts-Latency",
    ]
    assert {"Errors", "Latency"} <= set(endpoint.depends_on)


def test_rollout_chooses_between_two_fleets_and_halves(renders):
    spare = one(renders["real-time"][1], "SageMaker::Endpoint")["DeploymentConfig"]
    halves = one(renders["own-vpc"][1], "SageMaker::Endpoint")["DeploymentConfig"]
    assert "BlueGreenUpdatePolicy" in spare
    assert halves["RollingUpdatePolicy"]["MaximumBatchSize"]["Value"] == 50


def test_disks_of_the_instance_take_no_key_and_volumes_need_one(renders):
    assert "KmsKeyId" not in one(renders["real-time"][1], "SageMaker::EndpointConfig")
    made = renders["volume"][1]
    assert one(made, "SageMaker::EndpointConfig")["KmsKeyId"] == "VolumeKey-Arn"
    assert 1 <= variant(made)["VolumeSizeInGB"] <= 512


def test_the_role_writes_to_nothing_it_does_not_own(renders):
    for _, rendered in renders.values():
        (policy,) = one(rendered, "IAM::Role")["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]:
            if "*" in statement["Resource"]:
                reads = {"ecr:GetAuthorizationToken"}
                plain = all(
                    action in reads or action.startswith("ec2:Describe")
                    for action in statement["Action"]
                )
                assert plain or "Condition" in statement


def test_spend_is_a_budget_on_the_tag(renders):
    budget = one(renders["real-time"][1], "Budgets::Budget")
    assert budget["Budget"]["BudgetLimit"]["Amount"] == pytest.approx(1.5 * 4000 * 24 / 730, 1e-3)
    (told,) = budget["NotificationsWithSubscribers"]
    assert told["Subscribers"] == [{"SubscriptionType": "SNS", "Address": TOPIC}]
    assert not list(render(receipts(alarms={})).graph.of_type("AWS::Budgets::Budget"))


def test_moto_makes_describes_and_deletes_it(monkeypatch):
    for name, value in (("ID", "test"), ("KEY", "test")):
        monkeypatch.setenv(f"AWS_{'ACCESS_KEY' if name == 'ID' else 'SECRET_ACCESS'}_{name}", value)
    # moto refuses g5 and later for endpoints; what is on its list stands in.
    made = render(receipts())
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        client = boto3.client(
            "sagemaker", region_name="us-east-1", endpoint_url=f"http://{host}:{port}"
        )
        model = {**one(made, "SageMaker::Model"), "ModelName": "m"}
        model["ExecutionRoleArn"] = ROLE
        client.create_model(**model)
        config = {**one(made, "SageMaker::EndpointConfig"), "EndpointConfigName": "c"}
        config["ProductionVariants"] = [
            {**variant(made), "ModelName": "m", "InstanceType": "ml.p3.2xlarge"}
        ]
        client.create_endpoint_config(**config)
        endpoint = {**one(made, "SageMaker::Endpoint"), "EndpointConfigName": "c"}
        client.create_endpoint(**endpoint)

        described = client.describe_endpoint(EndpointName="pilotage-receipts")
        assert described["EndpointStatus"] == "InService"
        kept = client.describe_endpoint_config(EndpointConfigName="c")["ProductionVariants"][0]
        assert kept["InitialInstanceCount"] == 2
        container = client.describe_model(ModelName="m")["PrimaryContainer"]
        assert container["Environment"]["SM_VLLM_MAX_NUM_SEQS"] == "64"

        client.delete_endpoint(EndpointName="pilotage-receipts")
        client.delete_endpoint_config(EndpointConfigName="c")
        client.delete_model(ModelName="m")
        assert client.list_endpoints()["Endpoints"] == []
        assert json.dumps(client.list_models()["Models"]) == "[]"
    finally:
        server.stop()


def routed(backend, **changed):
    """Receipts from S3 in our image, with a second tier."""
    tiers = [
        {"name": "small", "backends": [{"kind": "local"}]},
        {"name": "big", "backends": [backend], "price": {"input": 1, "output": 2}},
    ]
    given = receipts(**{"image": None, **changed})
    data = given.deployment.model_dump(mode="json", exclude_unset=True)
    data["routing"] = {"tiers": tiers}
    return replace(given, deployment=type(given.deployment).model_validate(data))


def test_tiers_beside_the_model_can_be_asked():
    model = "anthropic.claude-3-haiku-20240307-v1:0"
    rendered = render(routed({"kind": "bedrock", "model": model}))
    # Isolation would leave the container without a way to them.
    assert one(rendered, "SageMaker::Model")["EnableNetworkIsolation"] is False
    (policy,) = one(rendered, "IAM::Role")["Policies"]
    asking = [each for each in policy["PolicyDocument"]["Statement"] if each["Sid"] == "AskModels"]
    assert [each["Resource"][0].endswith(f"foundation-model/{model}") for each in asking] == [True]
    assert one(render(receipts()), "SageMaker::Model")["EnableNetworkIsolation"] is True


OPENAI = {"kind": "openai", "url": "https://api.example.com/v1", "model": "m"}
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:big-AbCdEf"


@pytest.mark.parametrize(
    ("backend", "changed", "where", "said"),
    [
        ({**OPENAI, "api_key_env": "BIG"}, {}, "routing", "the tier big reads the variable BIG"),
        (OPENAI, {"secrets": {"BIG": SECRET}}, "shipping.secrets", "BIG cannot be handed in"),
        (OPENAI, {"image": {"uri": VLLM}}, "shipping.image.uri", "routes to no tiers"),
    ],
)
def test_tiers_that_a_container_could_not_ask_are_refused(backend, changed, where, said):
    with pytest.raises(UsageError, match=said) as caught:
        render(routed(backend, **changed))
    assert caught.value.where == where


def test_a_body_that_is_too_large_says_what_to_write():
    given = receipts(serving={"max_body": "8MiB"})
    (broken,) = check_rules(render(given), given)
    assert "Write serving: {max_body: 6MiB} in the spec" in str(broken)
    mended = receipts(serving={"max_body": "6MiB"})
    assert check_rules(render(mended), mended) == []
    # The same spec fits the async endpoint as it is.
    asynchronous = receipts("sagemaker-async", serving={"max_body": "8MiB"})
    assert check_rules(render(asynchronous), asynchronous) == []


def test_an_image_of_its_own_comes_with_what_builds_it():
    rendered = render(receipts(image=None, account="123456789012"))
    assert "aws" in rendered.files["image/Dockerfile"]
    page = rendered.files["README.md"]
    # An index with attestations is no image to SageMaker.
    (build,) = [line for line in page.splitlines() if line.startswith("docker build")]
    assert "--provenance=false" in build
    assert "docker push 123456789012.dkr.ecr.us-east-1.amazonaws.com/pilotage-receipts:" in page
    assert "image/Dockerfile" not in render(receipts()).files
