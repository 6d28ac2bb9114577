"""Which image runs: the given one, or that of a repository of the deployment's own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pilotage.ship.graph import Join, Parameter, Ref
from pilotage.ship.targets.ecs.layout import Layout
from pilotage.ship.targets.ecs.names import IMAGE_DIGEST

NO_DIGEST: Final = "sha256:" + "0" * 64
"""The digest of no image; ``apply`` puts that of the pushed one in its place."""

_ECR = re.compile(
    r"(?P<account>[0-9]{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?"
    r"/(?P<name>[^@:]+)([@:].*)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The image of the server.

    Attributes:
        uri: Its address, with a digest.
        parameters: The digest, where it is known only after the push.
        repository_arn: Where the execution role may pull it; None outside ECR.
    """

    uri: object
    parameters: tuple[Parameter, ...] = ()
    repository_arn: object | None = None


def image(layout: Layout) -> Image:
    """The image of a deployment."""
    given = layout.shipping.image.uri
    if given is not None:
        return Image(uri=given, repository_arn=_arn(given))
    return Image(
        uri=Join(
            (
                Ref("AWS::AccountId"),
                ".dkr.ecr.",
                Ref("AWS::Region"),
                ".",
                Ref("AWS::URLSuffix"),
                f"/{layout.name}@",
                Ref(IMAGE_DIGEST),
            )
        ),
        parameters=(
            Parameter(
                name=IMAGE_DIGEST,
                type="String",
                default=NO_DIGEST,
                description="Digest of the pushed image. As it stands here, of none.",
            ),
        ),
        repository_arn=Join(
            (
                "arn:",
                Ref("AWS::Partition"),
                ":ecr:",
                Ref("AWS::Region"),
                ":",
                Ref("AWS::AccountId"),
                f":repository/{layout.name}",
            )
        ),
    )


def _arn(uri: str) -> object | None:
    found = _ECR.fullmatch(uri)
    if found is None:
        return None
    return Join(
        (
            "arn:",
            Ref("AWS::Partition"),
            f":ecr:{found['region']}:{found['account']}:repository/{found['name']}",
        )
    )
