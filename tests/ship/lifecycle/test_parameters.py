"""Values that AWS tells: here, the secret of the API keys."""

import json
from dataclasses import replace

import boto3
import pytest
from aws_front import ACCOUNT, REGION, Front
from life import NAME, Witness, lifecycle, rendered, shipment

from pilotage.errors import ResourceError
from pilotage.ship.lifecycle.parameters import fill_keys


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
