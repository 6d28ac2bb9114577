"""Values that AWS tells: the secret of the API keys, zones, a VPC's range."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import boto3
import pytest
from aws_front import ACCOUNT, REGION, Answer, Front, Reply
from life import NAME, Witness, lifecycle, rendered, shipment

from pilotage import __version__
from pilotage.errors import ResourceError, UsageError
from pilotage.ship.graph import Graph, Parameter
from pilotage.ship.lifecycle.parameters import Known, NotPushedError, fill_keys, values


def test_an_empty_secret_gets_one_key_once(front: Front) -> None:
    secrets = boto3.client("secretsmanager", region_name=REGION)
    arn = secrets.create_secret(Name=f"{NAME}/keys", SecretString="{}")["ARN"]
    seen, aws = Witness(), lifecycle().aws
    key = fill_keys(aws, arn, say=seen.say)
    assert key is not None
    assert key.startswith("plt_")
    assert key in seen.text
    held = secrets.get_secret_value(SecretId=arn)["SecretString"]
    # What is kept are hashes.
    assert key.rpartition("_")[2] not in held
    assert json.loads(held)
    assert fill_keys(aws, arn, say=seen.say) is None
    assert secrets.get_secret_value(SecretId=arn)["SecretString"] == held
    # The key is said before it works, so that the last one said is the one that works.
    assert front.actions().count("PutSecretValue") == 1


def test_a_function_waits_for_its_package(front: Front) -> None:
    files = replace(rendered(), extra={"package_key": "pilotage-receipts/1.zip"})
    function, seen = shipment(target="lambda-bedrock"), Witness()
    with pytest.raises(ResourceError, match="package is not there") as caught:
        lifecycle().apply(function, files, agree=seen.agree, say=seen.say)
    bucket = f"pilotage-{ACCOUNT}-{REGION}"
    assert caught.value.where == f"s3://{bucket}/pilotage-receipts/1.zip"
    assert "CreateChangeSet" not in front.actions()
    s3 = boto3.client("s3", region_name=REGION)
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="pilotage-receipts/1.zip", Body=b"zip")
    assert lifecycle().apply(function, files, agree=seen.agree, say=seen.say).applied


def of_network(*names: str) -> Graph:
    return Graph(
        name=NAME,
        description="A network",
        parameters=tuple(
            Parameter(name=name, type="String", default="stand-in", description="")
            for name in names
        ),
    )


def offered_in(*zones: str) -> Answer:
    """EC2's answer to where an instance type is."""
    items = "".join(
        "<item><instanceType>g5.2xlarge</instanceType>"
        f"<locationType>availability-zone</locationType><location>{zone}</location></item>"
        for zone in zones
    )
    text = (
        "<DescribeInstanceTypeOfferingsResponse><requestId>1</requestId>"
        f"<instanceTypeOfferingSet>{items}</instanceTypeOfferingSet>"
        "</DescribeInstanceTypeOfferingsResponse>"
    )
    return lambda _: Reply(text, 200, "text/xml")


def asked_of_aws(graph: Graph, known: Known, **shipping: object) -> dict[str, str]:
    return values(lifecycle().aws, graph, shipment(**shipping), known, complete=True)


def test_a_new_network_is_where_the_machines_are(front: Front) -> None:
    zones, nothing = of_network("ZoneA", "ZoneB"), Known(given={}, outputs={})
    front.answers["DescribeInstanceTypeOfferings"] = offered_in("us-east-1d", "us-east-1b")
    assert asked_of_aws(zones, nothing) == {"ZoneA": "us-east-1b", "ZoneB": "us-east-1d"}
    asked = front.of("DescribeInstanceTypeOfferings")[0]
    assert asked["LocationType"] == "availability-zone"
    assert asked["Filter.1.Value.1"] == "g5.2xlarge"
    # The balancer needs two, where one has the machine.
    front.answers["DescribeInstanceTypeOfferings"] = offered_in("us-east-1c")
    assert asked_of_aws(zones, nothing) == {"ZoneA": "us-east-1c", "ZoneB": "us-east-1a"}
    front.answers["DescribeInstanceTypeOfferings"] = offered_in()
    with pytest.raises(UsageError, match=r"no zone of us-east-1 has g5\.2xlarge"):
        asked_of_aws(zones, nothing)


def test_a_network_stays_in_its_zones(front: Front) -> None:
    zones = of_network("ZoneA", "ZoneB")
    present = {"ZoneA": "us-east-1e", "ZoneB": "us-east-1f"}
    known = Known(given={}, outputs={}, present=present)
    front.answers["DescribeInstanceTypeOfferings"] = offered_in("us-east-1a", "us-east-1f")
    assert asked_of_aws(zones, known) == present
    front.answers["DescribeInstanceTypeOfferings"] = offered_in("us-east-1a")
    with pytest.raises(UsageError, match="us-east-1e and us-east-1f, which do not have"):
        asked_of_aws(zones, known)
    # What is given by hand is not asked about.
    front.asked.clear()
    given = Known(given=dict(present), outputs={})
    assert asked_of_aws(zones, given) == present
    assert front.actions() == []


def test_the_range_of_a_given_vpc_may_reach_the_balancer(front: Front) -> None:
    graph, nothing = of_network("AllowedCidr"), Known(given={}, outputs={})
    made = boto3.client("ec2", region_name=REGION).create_vpc(CidrBlock="10.9.0.0/16")
    network = {"vpc_id": made["Vpc"]["VpcId"]}
    assert asked_of_aws(graph, nothing, network=network) == {"AllowedCidr": "10.9.0.0/16"}
    with pytest.raises(UsageError, match="has no VPC vpc-00000000") as caught:
        asked_of_aws(graph, nothing, network={"vpc_id": "vpc-00000000"})
    assert caught.value.where == "shipping.network.vpc_id"


def pushed(digit: str, minute: int, *tags: str) -> dict[str, object]:
    at = datetime(2026, 11, 22, 12, minute, tzinfo=UTC).timestamp()
    named = {"imageTags": list(tags)} if tags else {}
    return {"imageDigest": f"sha256:{digit * 64}", "imagePushedAt": at, **named}


def test_the_newest_image_of_this_engine_and_version_runs(front: Front) -> None:
    boto3.client("ecr", region_name=REGION).create_repository(repositoryName=NAME)
    graph = replace(
        of_network(),
        parameters=(
            Parameter(
                name="ImageDigest", type="String", default=f"sha256:{'0' * 64}", description=""
            ),
        ),
    )
    nothing = Known(given={}, outputs={})
    fits = f"{__version__}-cuda"
    images = [
        pushed("a", 1, f"{fits}-0123456789ab"),
        pushed("b", 3, f"{fits}-ba9876543210"),
        pushed("c", 2, fits),
        pushed("d", 5, f"{__version__}-cpu-0123456789ab"),
    ]
    front.answers["DescribeImages"] = lambda _: Reply(json.dumps({"imageDetails": images}))
    assert asked_of_aws(graph, nothing) == {"ImageDigest": f"sha256:{'b' * 64}"}
    # The parts of an index, and attestations, are no images that run.
    assert front.of("DescribeImages")[0]["filter"] == {"tagStatus": "TAGGED"}
    del images[:3]
    assert asked_of_aws(graph, nothing) == {"ImageDigest": f"sha256:{'d' * 64}"}
    given = Known(given={"ImageDigest": f"sha256:{'e' * 64}"}, outputs={})
    assert asked_of_aws(graph, given) == {"ImageDigest": f"sha256:{'e' * 64}"}
    images.clear()
    with pytest.raises(NotPushedError) as caught:
        asked_of_aws(graph, nothing)
    registry = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
    assert f"docker push {registry}/{NAME}:{fits}-" in str(caught.value.hint)
    assert "create-repository" not in str(caught.value.hint)
    boto3.client("ecr", region_name=REGION).delete_repository(repositoryName=NAME)
    with pytest.raises(NotPushedError, match=r"holds no image yet.*create-repository"):
        asked_of_aws(graph, nothing)
