"""What stays when a stack is gone: logs, images, volumes, answers; what it costs, how it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.outcome import Leftover
from pilotage.ship.lifecycle.progress import Note, Say
from pilotage.ship.lifecycle.stack import OWNER_TAG
from pilotage.ship.target import Shipment

LOGS_USD_PER_GB_MONTH: Final = 0.03
"""CloudWatch Logs, archived, us-east-1 (AWS price list, 2026-11)."""
IMAGES_USD_PER_GB_MONTH: Final = 0.10
"""ECR, private (AWS price list, 2026-11)."""
OBJECTS_USD_PER_GB_MONTH: Final = 0.023
"""S3 standard, us-east-1 (AWS price list, 2026-11)."""
VOLUMES_USD_PER_GB_MONTH: Final = 0.08
"""EBS gp3, us-east-1 (AWS price list, 2026-11)."""

_GIB: Final = 2**30
_LOG_GROUPS: Final = (
    "",  # without a name of their own they have the stack's in front
    "/aws/sagemaker/Endpoints/",
    "/aws/sagemaker/InferenceComponents/",
    "/aws/lambda/",
)


def leftovers(aws: Aws, shipment: Shipment) -> tuple[Leftover, ...]:
    """Everything that is tagged as the deployment's and outlives its stack.

    Raises:
        PilotageError: AWS cannot be asked.
    """
    return (
        *_log_groups(aws, shipment),
        *_images(aws, shipment),
        *_volumes(aws, shipment),
        *_buckets(aws, shipment),
    )


def purge(aws: Aws, found: Iterable[Leftover], *, say: Say) -> tuple[Leftover, ...]:
    """Remove leftovers; what could not be removed is given back.

    Raises:
        PilotageError: AWS cannot be asked.
    """
    left: list[Leftover] = []
    for one in found:
        remover = _REMOVERS.get(one.type)
        if remover is None:
            left.append(one)
            continue
        say(Note(step="leftovers", text="is removed", what=one.id))
        remover(aws, one.id)
    return tuple(left)


def _log_groups(aws: Aws, shipment: Shipment) -> Iterator[Leftover]:
    for start in _LOG_GROUPS:
        yield from _log_groups_of(aws, shipment, f"{start}{shipment.name}")


def _log_groups_of(aws: Aws, shipment: Shipment, prefix: str) -> Iterator[Leftover]:
    for one in aws.pages("logs", "describe_log_groups", "logGroups",
                         logGroupNamePrefix=prefix):  # fmt: skip
        name = str(one["logGroupName"])
        tags = aws.try_call(
            "logs", "list_tags_log_group", "ResourceNotFoundException", logGroupName=name
        )
        if tags is None or not _ours(tags.get("tags") or {}, shipment):
            continue
        size = int(one.get("storedBytes", 0))
        yield Leftover(
            type="AWS::Logs::LogGroup",
            id=name,
            size_bytes=size,
            usd_per_month=size / _GIB * LOGS_USD_PER_GB_MONTH,
            remove=f"aws logs delete-log-group --log-group-name {name} --region {aws.region}",
        )


def _images(aws: Aws, shipment: Shipment) -> Iterator[Leftover]:
    answer = aws.try_call(
        "ecr",
        "describe_repositories",
        "RepositoryNotFoundException",
        repositoryNames=[shipment.name],
    )
    for one in (answer or {}).get("repositories") or ():
        listed = aws.call("ecr", "list_tags_for_resource", resourceArn=one["repositoryArn"])
        if not _ours(_pairs(listed.get("tags")), shipment):
            continue
        name = str(one["repositoryName"])
        images = aws.pages("ecr", "describe_images", "imageDetails", repositoryName=name)
        size = sum(int(image.get("imageSizeInBytes", 0)) for image in images)
        yield Leftover(
            type="AWS::ECR::Repository",
            id=name,
            size_bytes=size,
            usd_per_month=size / _GIB * IMAGES_USD_PER_GB_MONTH,
            remove=f"aws ecr delete-repository --force --repository-name {name} "
            f"--region {aws.region}",
        )


def _volumes(aws: Aws, shipment: Shipment) -> Iterator[Leftover]:
    tag = {"Name": f"tag:{OWNER_TAG}", "Values": [shipment.deployment.name]}
    for one in aws.pages("ec2", "describe_volumes", "Volumes", Filters=[tag]):
        if one.get("State") != "available":
            continue  # still an instance's, with which it goes
        size = int(one["Size"]) * _GIB
        yield Leftover(
            type="AWS::EC2::Volume",
            id=str(one["VolumeId"]),
            size_bytes=size,
            usd_per_month=size / _GIB * VOLUMES_USD_PER_GB_MONTH,
            remove=f"aws ec2 delete-volume --volume-id {one['VolumeId']} --region {aws.region}",
        )


def _buckets(aws: Aws, shipment: Shipment) -> Iterator[Leftover]:
    """Buckets of requests and answers, which async endpoints leave."""
    if shipment.target != "sagemaker-async":
        return  # Nothing else has one, and nobody else needs the right to list them.
    for one in aws.call("s3", "list_buckets").get("Buckets") or ():
        name = str(one["Name"])
        # A bucket that is made by a stack has the stack's name in front.
        if not name.startswith(f"{shipment.name}-"):
            continue
        tags = aws.try_call("s3", "get_bucket_tagging", "NoSuchTagSet", "AccessDenied", Bucket=name)
        if tags is None or not _ours(_pairs(tags.get("TagSet")), shipment):
            continue
        size = sum(
            int(each["Size"])
            for each in aws.pages("s3", "list_objects_v2", "Contents", Bucket=name)
        )
        yield Leftover(
            type="AWS::S3::Bucket",
            id=name,
            size_bytes=size,
            usd_per_month=size / _GIB * OBJECTS_USD_PER_GB_MONTH,
            remove=f"aws s3 rb s3://{name} --force --region {aws.region}",
        )


def _ours(tags: Mapping[str, str], shipment: Shipment) -> bool:
    return tags.get(OWNER_TAG) == shipment.deployment.name


def _pairs(listed: Any) -> dict[str, str]:
    return {str(one["Key"]): str(one["Value"]) for one in listed or ()}


def _remove_logs(aws: Aws, name: str) -> None:
    aws.try_call("logs", "delete_log_group", "ResourceNotFoundException", logGroupName=name)


def _remove_images(aws: Aws, name: str) -> None:
    aws.try_call(
        "ecr", "delete_repository", "RepositoryNotFoundException", repositoryName=name, force=True
    )


def _remove_volume(aws: Aws, name: str) -> None:
    aws.try_call("ec2", "delete_volume", "InvalidVolume.NotFound", VolumeId=name)


def _remove_bucket(aws: Aws, name: str) -> None:
    for one in aws.pages("s3", "list_objects_v2", "Contents", Bucket=name):
        aws.call("s3", "delete_object", Bucket=name, Key=one["Key"])
    aws.try_call("s3", "delete_bucket", "NoSuchBucket", Bucket=name)


_REMOVERS: Final[Mapping[str, Callable[[Aws, str], None]]] = MappingProxyType(
    {
        "AWS::Logs::LogGroup": _remove_logs,
        "AWS::ECR::Repository": _remove_images,
        "AWS::EC2::Volume": _remove_volume,
        "AWS::S3::Bucket": _remove_bucket,
    }
)
