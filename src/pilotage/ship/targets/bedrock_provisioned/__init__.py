"""Amazon Bedrock's provisioned throughput, bought through the API."""

from pilotage.ship.targets.bedrock_provisioned.lifecycle import BedrockLifecycle
from pilotage.ship.targets.bedrock_provisioned.provisioning import (
    Provisioned,
    create,
    delete,
    status,
)
from pilotage.ship.targets.bedrock_provisioned.request import ThroughputRequest
from pilotage.ship.targets.bedrock_provisioned.spend import Spend, cheapest, offers, spend_of
from pilotage.ship.targets.bedrock_provisioned.target import BedrockProvisionedTarget

__all__ = [
    "BedrockLifecycle",
    "BedrockProvisionedTarget",
    "Provisioned",
    "Spend",
    "ThroughputRequest",
    "cheapest",
    "create",
    "delete",
    "offers",
    "spend_of",
    "status",
]
