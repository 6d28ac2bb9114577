"""What is particular about async endpoints: their bucket, which is asked through and is left."""

import boto3
from aws_front import REGION, Front
from life import lifecycle, shipment

from pilotage.ship.lifecycle.endpoint_of import endpoint_of
from pilotage.ship.lifecycle.leftovers import leftovers, purge
from pilotage.ship.lifecycle.progress import silent
from pilotage.ship.lifecycle.sagemaker_endpoints import AsyncEndpoint
from pilotage.ship.lifecycle.stack import Stack, StackResource
from pilotage.ship.lifecycle.waiting import Waiting

OWN = "pilotage-receipts-outputs-1a2b"


def test_the_stacks_bucket_is_asked_through(front: Front) -> None:
    del front
    stack = Stack(
        id="arn:stack", name="s", status="UPDATE_COMPLETE", reason="", tags={}, outputs={},
        created=None,
    )  # fmt: skip
    held = (
        StackResource(
            name="Endpoint",
            type="AWS::SageMaker::Endpoint",
            id=f"arn:aws:sagemaker:{REGION}:123456789012:endpoint/pilotage-receipts",
            status="CREATE_COMPLETE",
        ),
        StackResource(name="Outputs", type="AWS::S3::Bucket", id=OWN, status="CREATE_COMPLETE"),
    )
    aws, waiting = lifecycle().aws, Waiting()
    given = shipment(target="sagemaker-async")
    found = endpoint_of(aws, given, stack, held, address=None, key=None, waiting=waiting)
    assert found == AsyncEndpoint(aws=aws, name="pilotage-receipts", bucket=OWN, waiting=waiting)


def test_the_bucket_of_answers_is_listed_and_purged(front: Front) -> None:
    s3 = boto3.client("s3", region_name=REGION)
    for name, owner in ((OWN, "receipts"), ("pilotage-receipts-other", "others"), ("mine", None)):
        s3.create_bucket(Bucket=name)
        s3.put_object(Bucket=name, Key="answers/1", Body=b"x" * 1000)
        if owner is not None:
            tags = [{"Key": "pilotage:deployment", "Value": owner}]
            s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
    aws = lifecycle().aws
    front.asked.clear()
    assert leftovers(aws, shipment()) == ()
    assert not any("s3" in one.lower() or one == "GET /" for one in front.actions())
    (left,) = leftovers(aws, shipment(target="sagemaker-async"))
    assert (left.type, left.id, left.size_bytes) == ("AWS::S3::Bucket", OWN, 1000)
    assert left.remove == f"aws s3 rb s3://{OWN} --force --region {REGION}"
    assert purge(aws, [left], say=silent) == ()
    assert {one["Name"] for one in s3.list_buckets()["Buckets"]} == {
        "pilotage-receipts-other",
        "mine",
    }
