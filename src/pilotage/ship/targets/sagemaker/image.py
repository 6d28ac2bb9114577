"""Which image SageMaker runs, and whether it is ours or one that takes ``SM_VLLM_*``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pilotage.errors import UsageError
from pilotage.ship.graph import Join, Parameter, Ref
from pilotage.ship.target import Shipment
from pilotage.ship.targets.sagemaker import names

_ECR: Final = re.compile(
    r"(?P<account>[0-9]{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.(?P<domain>amazonaws\.com(?:\.cn)?)"
    r"/(?P<repository>[a-z0-9][a-z0-9._/-]*)(?::[\w.-]+)?(?P<digest>@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
_VLLM: Final = re.compile(r"(^|/)(huggingface-vllm[a-z0-9-]*|vllm)$")
"""Repositories of AWS's containers whose entry point maps ``SM_VLLM_*`` to vLLM's flags."""

_NO_DIGEST: Final = "sha256:" + "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The image of a deployment.

    Attributes:
        uri: For ``Image``; a reference where its digest comes when the stack is made.
        vllm: Whether it is one that takes ``SM_VLLM_*``; ours otherwise.
        account: Of its repository; None is the stack's own.
        region: Likewise.
        repository: Its name.
        parameters: Of the stack.
    """

    uri: object
    vllm: bool
    account: str | None
    region: str | None
    repository: str
    parameters: tuple[Parameter, ...] = ()


def image_of(shipment: Shipment) -> Image:
    """The image that is given, or the deployment's own repository with a digest to be passed.

    Raises:
        UsageError: The image is in no private ECR repository, or has no digest.
    """
    uri = shipment.shipping.image.uri
    if uri is None:
        return _own(shipment)
    found = _ECR.fullmatch(uri)
    if found is None:
        raise UsageError(
            "SageMaker pulls images from private ECR repositories only",
            where="shipping.image.uri",
            hint="Push the image to a repository of your account: "
            "ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME@sha256:DIGEST",
        )
    if found["digest"] is None:
        raise UsageError(
            "the image has no digest, so that what runs can change under the same name",
            where="shipping.image.uri",
            hint="Write NAME@sha256:DIGEST; aws ecr describe-images shows it",
        )
    return Image(
        uri=uri,
        vllm=_VLLM.search(found["repository"]) is not None,
        account=found["account"],
        region=found["region"],
        repository=found["repository"],
    )


def _own(shipment: Shipment) -> Image:
    return Image(
        uri=Join(
            (
                Ref("AWS::AccountId"),
                ".dkr.ecr.",
                Ref("AWS::Region"),
                ".",
                Ref("AWS::URLSuffix"),
                f"/{shipment.name}@",
                Ref(names.IMAGE_DIGEST),
            )
        ),
        vllm=False,
        account=None,
        region=None,
        repository=shipment.name,
        parameters=(
            Parameter(
                name=names.IMAGE_DIGEST,
                type="String",
                default=_NO_DIGEST,
                description="Digest of the image that was pushed; the default is no image's, so "
                "that nothing starts before one is pushed",
            ),
        ),
    )
