"""What is asked before anything is made: whose account, enough quota, a certificate."""

from __future__ import annotations

from collections.abc import Iterator

from pilotage.errors import ResourceError
from pilotage.ship.graph import Graph
from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.certificate import check_certificate
from pilotage.ship.lifecycle.progress import Note, Say
from pilotage.ship.lifecycle.quotas import check_offered, check_quota
from pilotage.ship.lifecycle.stack import OWNER_TAG, NameCollisionError
from pilotage.ship.target import Shipment


def preflight(
    aws: Aws,
    shipment: Shipment,
    graphs: tuple[Graph, ...],
    *,
    say: Say,
    package_key: str | None = None,
) -> None:
    """Every check that reads only.

    Args:
        aws: Where it goes.
        shipment: What is shipped.
        graphs: Of its stacks.
        say: Is told what was found.
        package_key: Of the function's zip, where the target is one and has no image.

    Raises:
        PilotageError: Something would make the deployment fail; says what and how to mend it.
    """
    account = aws.check_identity(shipment.shipping.account)
    say(Note(step="check", text=f"account {account}, region {aws.region}"))
    check_certificate(aws, shipment)
    # Only ECS runs on instances of the account's own; ml.* have quotas of SageMaker's.
    if shipment.target == "ecs":
        check_offered(aws, shipment)
        check_quota(aws, shipment, say=say)
    if package_key is not None and shipment.shipping.image.uri is None:
        _check_package(aws, account, package_key)
    for graph in graphs:
        check_kept(aws, shipment, graph)


def _check_package(aws: Aws, account: str, key: str) -> None:
    """Refuse a function whose zip is not there yet, in a bucket that is the account's own."""
    bucket = f"pilotage-{account}-{aws.region}"
    found = aws.try_call(
        "s3",
        "head_object",
        "404",
        "403",
        "NoSuchBucket",
        Bucket=bucket,
        Key=key,
        ExpectedBucketOwner=account,
    )
    if found is None:
        raise ResourceError(
            "the function's package is not there, or not to be read",
            where=f"s3://{bucket}/{key}",
            hint="The rendered README.md has the commands that build and upload it; then apply "
            "again",
        )


def check_kept(aws: Aws, shipment: Shipment, graph: Graph) -> None:
    """Refuse to take up what has a kept resource's name and is not this deployment's.

    Raises:
        NameCollisionError: There is such a thing.
    """
    for kind, name, owner in _kept(aws, graph):
        if owner != shipment.deployment.name:
            raise NameCollisionError(
                f'name collision: there is a {kind} "{name}" that this deployment did not make',
                where="name",
                hint="Choose another name for the deployment, or remove it yourself",
            )


def _kept(aws: Aws, graph: Graph) -> Iterator[tuple[str, str, str | None]]:
    """Kind, name and owner of what is there under the name of a retained resource."""
    for one in graph.of_type("AWS::ECR::Repository"):
        name = one.properties.get("RepositoryName")
        if not (one.retain and isinstance(name, str)):
            continue
        answer = aws.try_call(
            "ecr", "describe_repositories", "RepositoryNotFoundException", repositoryNames=[name]
        )
        for found in (answer or {}).get("repositories") or ():
            tags = aws.call("ecr", "list_tags_for_resource", resourceArn=found["repositoryArn"])
            owned = {tag["Key"]: tag["Value"] for tag in tags.get("tags") or ()}
            yield "repository", name, owned.get(OWNER_TAG)
    for one in graph.of_type("AWS::Logs::LogGroup"):
        name = one.properties.get("LogGroupName")
        if not (one.retain and isinstance(name, str)):
            continue
        tagged = aws.try_call(
            "logs", "list_tags_log_group", "ResourceNotFoundException", logGroupName=name
        )
        if tagged is not None:
            yield "log group", name, (tagged.get("tags") or {}).get(OWNER_TAG)
