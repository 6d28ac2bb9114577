"""Where async answers go: a bucket that forgets them, and topics that tell."""

from __future__ import annotations

from typing import Final

from pilotage.ship.graph import Attribute, Join, Ref, Resource
from pilotage.ship.target import Shipment
from pilotage.ship.targets.aws_parts import excepted, tag_list
from pilotage.ship.targets.sagemaker import names

KEPT_DAYS: Final = 7
"""Days that requests and answers stay in the bucket."""


def answer_resources(shipment: Shipment) -> tuple[Resource, ...]:
    """Bucket, its policy, and the two topics."""
    return (
        _bucket(shipment),
        _policy(),
        _topic(names.SUCCESS, shipment),
        _topic(names.FAILURE, shipment),
    )


def _bucket(shipment: Shipment) -> Resource:
    return Resource(
        name=names.OUTPUTS,
        type="AWS::S3::Bucket",
        properties={
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [
                    {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
                ]
            },
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "LifecycleConfiguration": {
                "Rules": [
                    {
                        "Id": "forget",
                        "Status": "Enabled",
                        "ExpirationInDays": KEPT_DAYS,
                        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                    }
                ]
            },
            "Tags": tag_list(shipment),
        },
        # A bucket with answers in it cannot be deleted, and they are not ours to delete.
        retain=True,
        metadata=excepted(
            CKV_AWS_18="Answers of a week: who read them is in CloudTrail's data events, if "
            "somebody wants to pay for those",
            CKV_AWS_21="Answers are written once and forgotten after a week: versions would only "
            "keep them longer",
        ),
    )


def _policy() -> Resource:
    bucket = Attribute(names.OUTPUTS, "Arn")
    return Resource(
        name="AnswersPolicy",
        type="AWS::S3::BucketPolicy",
        properties={
            "Bucket": Ref(names.OUTPUTS),
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Sid": "EncryptedWaysOnly",
                        "Effect": "Deny",
                        "Principal": "*",
                        "Action": "s3:*",
                        "Resource": [bucket, Join((bucket, "/*"))],
                        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                    }
                ],
            },
        },
    )


def _topic(name: str, shipment: Shipment) -> Resource:
    return Resource(
        name=name,
        type="AWS::SNS::Topic",
        properties={"KmsMasterKeyId": "alias/aws/sns", "Tags": tag_list(shipment)},
    )
