"""Which way a platform has."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pilotage.ship.pipeline.clusters import Clusters
from pilotage.ship.pipeline.modules import Modules
from pilotage.ship.pipeline.stacks import Stacks
from pilotage.ship.pipeline.units import Units
from pilotage.ship.pipeline.way import Way
from pilotage.spec.shipping import TargetName

WAYS: Final[Mapping[TargetName, Way]] = MappingProxyType(
    {
        "ecs": Stacks(balanced=True),
        "sagemaker": Stacks(balanced=False),
        "sagemaker-async": Stacks(balanced=False),
        "lambda-bedrock": Stacks(balanced=False),
        "bedrock-provisioned": Units(),
        "kubernetes": Clusters(),
        "kserve": Clusters(),
        "terraform": Modules(),
    }
)
"""All platforms but this machine, which no workflow can leave anything on."""
