"""Values that AWS tells: here, the secret of the API keys."""

import json

import boto3
from aws_front import REGION, Front
from life import NAME, Witness, lifecycle

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
