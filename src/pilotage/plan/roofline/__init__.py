"""Roofline: how long a step takes, how long it must take, and why."""

from pilotage.plan.roofline.efficiency import PERFECT, Efficiency
from pilotage.plan.roofline.model import RooflineModel
from pilotage.plan.roofline.parts import Parts
from pilotage.plan.roofline.vision import encode_flops, image_patches, image_prompt_tokens
from pilotage.plan.roofline.work import Work, Workload

__all__ = [
    "PERFECT",
    "Efficiency",
    "Parts",
    "RooflineModel",
    "Work",
    "Workload",
    "encode_flops",
    "image_patches",
    "image_prompt_tokens",
]
