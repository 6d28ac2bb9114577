"""``AWS::SageMaker::EndpointConfig``: instances, time-outs, disk, encryption, async answers."""

from __future__ import annotations

import math
from typing import Any, Final

from pilotage.catalog.instances import load_instances
from pilotage.errors import UsageError
from pilotage.ship.graph import Attribute, Join, Ref, Resource
from pilotage.ship.target import Shipment
from pilotage.ship.targets.aws_parts import excepted, tag_list
from pilotage.ship.targets.sagemaker import names
from pilotage.ship.targets.sagemaker.model import network
from pilotage.ship.targets.sagemaker.startup import Startup

LARGEST_VOLUME_GIB: Final = 512
"""Of the volume behind an instance (SageMaker API reference, ProductionVariant)."""

_GPU_AMI: Final = "al2-ami-sagemaker-inference-gpu-3-1"
"""CUDA 12's driver; the default is CUDA 11's, with which vLLM's images do not start
(aws.github.io/deep-learning-containers/vllm/deployment/sagemaker, 2026-11-22)."""

_NEURON_AMI: Final = "al2-ami-sagemaker-inference-neuron-2"
_MOST_CONCURRENT: Final = 1000
_CONCURRENT: Final = 8


def instance_type(shipment: Shipment) -> str:
    """The instance type as SageMaker names it.

    Raises:
        UsageError: There is none, or spot is asked for.
    """
    found = shipment.sizing.instance_type
    if found is None:
        raise UsageError(
            "SageMaker needs an instance type, and nothing says one",
            where="shipping.target",
            hint="Make a plan first (pilotage plan SPEC) and pass it with --plan",
        )
    if shipment.shipping.scaling.spot_share:
        raise UsageError(
            "SageMaker's endpoints have no spot instances",
            where="shipping.scaling.spot_share",
            hint="Leave it out, or ship to ecs",
        )
    return f"ml.{found.removeprefix('ml.')}"


def has_own_disks(shipment: Shipment) -> bool:
    """Whether the instance brings NVMe disks, on which SageMaker then keeps everything."""
    name = (shipment.sizing.instance_type or "").removeprefix("ml.")
    known = load_instances().get(name)
    return known is not None and known.nvme_bytes > 0


def by_components(shipment: Shipment) -> bool:
    """Whether the model is an inference component: what real-time needs to scale to zero."""
    return shipment.target == "sagemaker" and shipment.sizing.min_replicas == 0


def concurrency(shipment: Shipment) -> int:
    """Requests that an async instance is given at once: those its engine batches."""
    planned = shipment.plan.deployment.settings.get("max_num_seqs") if shipment.plan else None
    wanted = planned or shipment.deployment.serving.max_num_seqs or _CONCURRENT
    return max(1, min(_MOST_CONCURRENT, int(wanted)))


def endpoint_config(shipment: Shipment, startup: Startup) -> Resource:
    """The configuration: no name of its own, since a changed one is made beside the old.

    Data capture is off: it copies what users write to S3.

    Raises:
        UsageError: The weights need a larger disk than SageMaker gives.
    """
    own_disks = has_own_disks(shipment)
    properties: dict[str, Any] = {"ProductionVariants": [_variant(shipment, startup)]}
    if by_components(shipment):
        properties["ExecutionRoleArn"] = Attribute(names.ROLE, "Arn")
        properties |= network(shipment)
    if not own_disks:
        properties["KmsKeyId"] = Attribute(names.KEY, "Arn")
    if shipment.target == "sagemaker-async":
        properties["AsyncInferenceConfig"] = _asynchronous(shipment)
    properties["Tags"] = tag_list(shipment)
    reasons = {}
    if own_disks:
        reasons["CKV_AWS_98"] = (
            "SageMaker refuses a key for instances with NVMe disks; their hardware encrypts them, "
            "with keys that end with the instance"
        )
    return Resource(
        name=names.CONFIG,
        type="AWS::SageMaker::EndpointConfig",
        properties=properties,
        metadata=excepted(**reasons) if reasons else {},
    )


def volume_key(shipment: Shipment) -> Resource:
    """The key of the volumes of instances without disks of their own."""
    root = Join(("arn:", Ref("AWS::Partition"), ":iam::", Ref("AWS::AccountId"), ":root"))
    return Resource(
        name=names.KEY,
        type="AWS::KMS::Key",
        properties={
            "Description": f"Volumes of {shipment.name}",
            "EnableKeyRotation": True,
            "PendingWindowInDays": 7,
            "KeyPolicy": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        # Who may use it is for IAM to say, in this account only; without this
                        # statement nobody could ever change the key again.
                        "Sid": "ByThisAccountsPolicies",
                        "Effect": "Allow",
                        "Principal": {"AWS": root},
                        "Action": "kms:*",
                        "Resource": "*",
                    },
                ],
            },
            "Tags": tag_list(shipment),
        },
    )


def _variant(shipment: Shipment, startup: Startup) -> dict[str, Any]:
    sizing = shipment.sizing
    variant: dict[str, Any] = {
        "VariantName": names.VARIANT,
        "InstanceType": instance_type(shipment),
        # An endpoint begins with one instance, also where it may go down to none.
        "InitialInstanceCount": max(1, sizing.desired),
        "ContainerStartupHealthCheckTimeoutInSeconds": startup.container_s,
    }
    if startup.download_s is not None:
        variant["ModelDataDownloadTimeoutInSeconds"] = startup.download_s
    if by_components(shipment):
        variant["ManagedInstanceScaling"] = {
            "Status": "ENABLED",
            "MinInstanceCount": 0,
            "MaxInstanceCount": max(1, sizing.max_replicas),
        }
        variant["RoutingConfig"] = {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}
    else:
        variant["ModelName"] = Attribute(names.MODEL, "ModelName")
        variant["InitialVariantWeight"] = 1
        if shipment.target == "sagemaker":
            # Random, the default, gives one instance two long answers while another has none.
            variant["RoutingConfig"] = {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}
    if not has_own_disks(shipment):
        variant["VolumeSizeInGB"] = _volume(shipment)
    if sizing.gpus:
        variant["InferenceAmiVersion"] = _GPU_AMI
    elif sizing.neuron_devices:
        variant["InferenceAmiVersion"] = _NEURON_AMI
    return variant


def _volume(shipment: Shipment) -> int:
    needed = math.ceil(shipment.sizing.weights_gib + shipment.sizing.root_gib)
    if needed > LARGEST_VOLUME_GIB:
        raise UsageError(
            f"weights and image need a disk of {needed} GiB; SageMaker gives {LARGEST_VOLUME_GIB}",
            where="shipping.target",
            hint="Plan an instance with disks of its own (g5, g6, g6e, p4d …), or ship to ecs",
        )
    return max(1, needed)


def _asynchronous(shipment: Shipment) -> dict[str, Any]:
    bucket = Ref(names.OUTPUTS)
    return {
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": concurrency(shipment)},
        "OutputConfig": {
            "S3OutputPath": Join(("s3://", bucket, "/answers/")),
            "S3FailurePath": Join(("s3://", bucket, "/failures/")),
            "NotificationConfig": {
                "SuccessTopic": Ref(names.SUCCESS),
                "ErrorTopic": Ref(names.FAILURE),
            },
        },
    }
