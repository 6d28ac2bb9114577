"""ECS on EC2 instances with GPUs, Inferentia or Trainium (or none), as CloudFormation."""

from __future__ import annotations

from pilotage.ship.targets.ecs.target import EcsTarget

__all__ = ["EcsTarget"]
