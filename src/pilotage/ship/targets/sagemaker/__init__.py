"""Amazon SageMaker: endpoints in real time, async, and down to zero by inference components."""

from pilotage.ship.targets.sagemaker.target import SageMakerTarget

__all__ = ["SageMakerTarget"]
