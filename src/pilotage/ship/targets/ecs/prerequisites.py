"""What has to be there, and filled, before the stack: the image's repository, the keys' secret.

A stack of its own: tasks start as soon as the main stack has a service, and then the image must be
pushed and the keys be there.
"""

from __future__ import annotations

from pilotage.ship.graph import Attribute, Graph, Ref, Resource
from pilotage.ship.targets.ecs.layout import Layout
from pilotage.ship.targets.ecs.names import KEYS, REPOSITORY
from pilotage.ship.targets.ecs.tagging import tagged

_IMAGES_KEPT = 10


def prerequisites(layout: Layout) -> Graph | None:
    """The stack that comes first; None where the spec names image and keys."""
    resources: list[Resource] = []
    outputs: dict[str, object] = {}
    if layout.shipping.image.uri is None:
        resources.append(_repository(layout.name))
        outputs["RepositoryUri"] = Attribute(REPOSITORY, "RepositoryUri")
    if layout.shipping.keys_secret_arn is None:
        resources.append(_keys(layout.name))
        outputs["KeysSecretArn"] = Ref(KEYS)
    if not resources:
        return None
    return Graph(
        name=f"{layout.name}-base",
        description=f"Image repository and API keys of the Pilotage deployment {layout.deployment}",
        resources=tuple(tagged(one, layout.shipment.tags) for one in resources),
        outputs=outputs,
    )


def _repository(name: str) -> Resource:
    return Resource(
        name=REPOSITORY,
        type="AWS::ECR::Repository",
        properties={
            "RepositoryName": name,
            "ImageTagMutability": "IMMUTABLE",
            "ImageScanningConfiguration": {"ScanOnPush": True},
            "EncryptionConfiguration": {"EncryptionType": "KMS"},
            "LifecyclePolicy": {
                "LifecyclePolicyText": (
                    '{"rules": [{"rulePriority": 1, "description": "the last ones", "selection": '
                    '{"tagStatus": "any", "countType": "imageCountMoreThan", '
                    f'"countNumber": {_IMAGES_KEPT}}}, "action": {{"type": "expire"}}}}]}}'
                )
            },
        },
        retain=True,
    )


def _keys(name: str) -> Resource:
    return Resource(
        name=KEYS,
        type="AWS::SecretsManager::Secret",
        properties={
            "Name": f"{name}/keys",
            "Description": "The file of API keys: salted hashes, which apply fills in",
            "SecretString": "{}",
        },
        metadata={
            "checkov": {
                "skip": [
                    {
                        "id": "CKV_AWS_149",
                        "comment": "Encrypted with the account's aws/secretsmanager key; what is "
                        "in it are salted hashes of keys, not the keys.",
                    }
                ]
            }
        },
    )
