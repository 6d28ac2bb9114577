import json
import os
import subprocess
import sys
import textwrap
from importlib import metadata

import pytest
from api_requests import problems, properties
from goldens import check_golden
from hosted_shipments import FUNCTIONS, chatbot, example, kinds
from judges import lint_findings

from pilotage.errors import UsageError
from pilotage.ship.rules import check_rules
from pilotage.ship.sizing_of import prepare
from pilotage.ship.targets import target_of
from pilotage.ship.targets.lambda_bedrock.package import NEEDED
from pilotage.spec import parse


@pytest.fixture(scope="module")
def renders():
    return {name: (one, render(one)) for name, one in kinds(FUNCTIONS).items()}


def render(shipment):
    return target_of("lambda-bedrock").render(shipment)


def one(rendered, kind):
    (found,) = rendered.graph.of_type(f"AWS::{kind}")
    return properties(rendered.graph, found)


def statements(rendered):
    (policy,) = one(rendered, "IAM::Role")["Policies"]
    return {found["Sid"]: found for found in policy["PolicyDocument"]["Statement"]}


def tiers(*models, **backend):
    return {
        "tiers": [
            {"name": f"tier-{n}", "backends": [{"kind": "bedrock", "model": model, **backend}]}
            for n, model in enumerate(models)
        ],
        "policy": "static",
        "estimator": {"kind": "none"},
        "verifier": {"checks": ["refusal"]},
    }


def test_the_chatbot_is_as_kept(renders):
    files = renders["signed"][1].files
    check_golden("lambda-chatbot", {path.replace("/", "-"): text for path, text in files.items()})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nobody_finds_anything(renders, name):
    shipment, rendered = renders[name]
    assert lint_findings(rendered.files["template.yaml"]) == []
    assert check_rules(rendered, shipment) == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_botocore_would_send_it(renders, name):
    rendered = renders[name][1]
    function = one(rendered, "Lambda::Function")
    function["Role"] = "arn:aws:iam::123456789012:role/function"
    function["Tags"] = {tag["Key"]: tag["Value"] for tag in function["Tags"]}
    reserved = function.pop("ReservedConcurrentExecutions")
    assert problems("lambda", "CreateFunction", function) == ""
    concurrency = {"FunctionName": "f", "ReservedConcurrentExecutions": reserved}
    assert problems("lambda", "PutFunctionConcurrency", concurrency) == ""
    address = one(rendered, "Lambda::Url")
    address["FunctionName"] = address.pop("TargetFunctionArn")
    assert problems("lambda", "CreateFunctionUrlConfig", address) == ""
    for alarm in rendered.graph.of_type("AWS::CloudWatch::Alarm"):
        request = properties(rendered.graph, alarm)
        assert (alarm.name, problems("cloudwatch", "PutMetricAlarm", request)) == (alarm.name, "")


def test_profiles_take_their_models_in_every_region(renders):
    allowed = statements(renders["signed"][1])["AskModels"]
    assert allowed["Action"] == ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"]
    account = "arn:Partition-id:bedrock:us-east-1:AccountId-id"
    nova = [arn for arn in allowed["Resource"] if "nova" in arn]
    assert nova == [
        f"{account}:inference-profile/us.amazon.nova-lite-v1:0",
        *(
            f"arn:Partition-id:bedrock:{region}::foundation-model/amazon.nova-lite-v1:0"
            for region in ("us-east-1", "us-east-2", "us-west-1", "us-west-2")
        ),
    ]
    assert not [arn for arn in allowed["Resource"] if "*" in arn]


@pytest.mark.parametrize(
    ("model", "ends"),
    [
        ("amazon.nova-lite-v1:0", ["eu-west-1::foundation-model/amazon.nova-lite-v1:0"]),
        (
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            [
                "eu-west-1:AccountId-id:inference-profile/"
                "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "eu-west-1::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0",
                ":::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0",
            ],
        ),
        (
            "arn:aws:bedrock:eu-west-1:123456789012:provisioned-model/abcdefghijkl",
            ["arn:aws:bedrock:eu-west-1:123456789012:provisioned-model/abcdefghijkl"],
        ),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/jp.amazon.nova-lite-v1:0",
            [
                "inference-profile/jp.amazon.nova-lite-v1:0",
                "ap-northeast-1::foundation-model/amazon.nova-lite-v1:0",
                "ap-northeast-3::foundation-model/amazon.nova-lite-v1:0",
            ],
        ),
    ],
)
def test_a_model_is_exactly_these_resources(model, ends):
    backend = {} if model.startswith("arn:") else {"region": "eu-west-1"}
    found = statements(render(chatbot(routing=tiers(model, **backend))))["AskModels"]["Resource"]
    assert len(found) == len(ends)
    assert all(arn.endswith(end) for arn, end in zip(found, ends, strict=True))


def test_endpoints_of_sagemaker_are_asked_by_their_arn():
    routing = tiers("amazon.nova-lite-v1:0")
    routing["tiers"][0]["backends"] = [{"kind": "sagemaker", "endpoint": "pilotage-receipts"}]
    made = render(chatbot(routing=routing))
    assert "AskModels" not in statements(made)
    (endpoint,) = statements(made)["AskEndpoints"]["Resource"]
    assert endpoint.endswith(":endpoint/pilotage-receipts")


def test_callers_sign_unless_everybody_is_asked_for(renders):
    assert one(renders["signed"][1], "Lambda::Url")["AuthType"] == "AWS_IAM"
    assert renders["signed"][1].warnings == ()
    assert one(renders["public"][1], "Lambda::Url")["AuthType"] == "NONE"
    assert "Everybody on the internet" in renders["public"][1].warnings[0]
    half = render(chatbot(network={"public": True}))
    assert one(half, "Lambda::Url")["AuthType"] == "AWS_IAM"


def test_a_url_needs_both_permissions(renders):
    policy = one(renders["signed"][1], "IAM::ManagedPolicy")["PolicyDocument"]
    actions = [found["Action"] for found in policy["Statement"]]
    assert actions == [["lambda:InvokeFunctionUrl"], ["lambda:InvokeFunction"]]
    given = renders["public"][1].graph.of_type("AWS::Lambda::Permission")
    assert {found.properties["Action"] for found in given} == {
        "lambda:InvokeFunctionUrl",
        "lambda:InvokeFunction",
    }


def test_spend_is_the_tokens_at_their_prices(renders):
    alarms = {one.name: one for one in renders["public"][1].graph.of_type("AWS::CloudWatch::Alarm")}
    spend = alarms["Spend"].properties
    assert spend["Threshold"] == 20
    assert {query["Id"] for query in spend["Metrics"]} == {"in1", "out1", "in2", "out2", "usd"}
    assert "FILL(in1, 0) * 0.0" in spend["Metrics"][-1]["Expression"]
    assert "Spend" not in {found.name for found in renders["signed"][1].graph.resources}


def test_no_price_is_no_alarm_and_said():
    arn = "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefghijkl"
    made = render(chatbot(routing=tiers(arn), alarms={"usd_per_day": 20}))
    assert "Spend" not in {found.name for found in made.graph.resources}
    assert any(note.startswith("No alarm on spend") for note in made.notes)


@pytest.mark.parametrize(
    ("where", "routing", "shipping", "words"),
    [
        ("routing.timeout", {"timeout": "15m"}, {}, "ends after 900 s"),
        ("routing.ledger", {"ledger": {"url_env": "LEDGER"}}, {}, "no ledger"),
        (
            "routing.tiers",
            {"tiers": [{"name": "own", "backends": [{"kind": "local"}]}]},
            {},
            "a model of the server itself",
        ),
        (
            "routing.tiers",
            {
                "tiers": [
                    {
                        "name": "other",
                        "backends": [
                            {
                                "kind": "openai",
                                "url": "https://api.example.com/v1",
                                "model": "m",
                                "api_key_env": "KEY",
                            }
                        ],
                    }
                ]
            },
            {},
            "needs the key in KEY",
        ),
        (
            "routing.tiers",
            tiers("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"),
            {},
            "does not tell which models",
        ),
        (
            "shipping.secrets",
            {},
            {"secrets": {"KEY": "arn:aws:secretsmanager:us-east-1:123456789012:secret:k-AbCdEf"}},
            "KEY cannot be handed in",
        ),
        (
            "shipping.network.allowed_cidrs",
            {},
            {"network": {"allowed_cidrs": ["198.51.100.0/24"]}},
            "cannot be closed",
        ),
    ],
)
def test_what_a_function_cannot_do_is_refused(where, routing, shipping, words):
    plain = {"policy": "static", "estimator": {"kind": "none"}, "verifier": {"checks": ["refusal"]}}
    with pytest.raises(UsageError, match=words) as caught:
        render(chatbot(routing={**plain, **routing}, **shipping))
    assert caught.value.where == where
    assert caught.value.hint


def test_a_spec_without_tiers_has_nothing_to_route():
    deployment = example("receipts")
    with pytest.raises(UsageError, match="no tiers"):
        render(prepare(deployment, None, target="lambda-bedrock"))


def test_another_spec_is_another_key(renders):
    first = renders["signed"][1].extra["package_key"]
    assert render(chatbot()).extra["package_key"] == first
    assert render(chatbot(routing={"max_history": 41})).extra["package_key"] != first
    assert one(renders["signed"][1], "Lambda::Function")["Code"]["S3Key"] == first


def test_the_packages_spec_means_the_same(renders):
    shipment, rendered = renders["signed"]
    packed = parse(rendered.files["package/spec.yaml"], "spec.yaml")
    assert packed.routing == shipment.deployment.routing
    assert packed.slo == shipment.deployment.slo


def test_a_calibration_goes_into_the_package(tmp_path):
    path = tmp_path / "calibration.json"
    path.write_text('{"fitted": true}')
    made = render(chatbot(routing={"calibration": str(path)}))
    assert made.files["package/calibration.json"] == '{"fitted": true}'
    assert "calibration: calibration.json" in made.files["package/spec.yaml"]
    assert "numpy" in made.files["requirements.txt"]
    path.unlink()
    with pytest.raises(UsageError, match="no such file"):
        render(chatbot(routing={"calibration": str(path)}))


def _closure(names):
    """The named distributions and all that they need, by their import names' owners."""
    found, open_ = set(), list(names)
    while open_:
        name = open_.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        try:
            needs = metadata.requires(name) or ()
        except metadata.PackageNotFoundError:
            continue
        for line in needs:
            if "extra ==" not in line:
                open_.append(
                    "".join(c if c.isalnum() or c in "-_" else " " for c in line).split()[0]
                )
    return found


def test_the_handler_starts_with_what_the_package_holds(tmp_path, renders):
    """With every other distribution of this environment out of reach."""
    (tmp_path / "spec.yaml").write_text(renders["signed"][1].files["package/spec.yaml"])
    closure = _closure(NEEDED) | {"pilotage"}
    owners = metadata.packages_distributions()
    barred = sorted(
        top
        for top, dists in owners.items()
        if not any(dist.lower().replace("_", "-") in closure for dist in dists)
    )
    program = textwrap.dedent(
        """
        import json, sys
        barred = set(json.loads(sys.argv[1]))
        class Bar:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in barred:
                    raise ModuleNotFoundError(name, name=name)
        sys.meta_path.insert(0, Bar())
        from pilotage.route.handler import handler
        print(json.dumps(handler({"health": True})))
        """
    )
    environ = {
        "PATH": os.environ["PATH"],
        "PILOTAGE_SPEC": "spec.yaml",
        "PILOTAGE_HOME": str(tmp_path / "home"),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }
    ran = subprocess.run(
        [sys.executable, "-c", program, json.dumps(barred)],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environ,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert "numpy" in barred
    assert json.loads(ran.stdout.splitlines()[-1]) == {"status": "ok", "tiers": ["small", "large"]}
