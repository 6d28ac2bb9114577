"""Where the Neuron SDK is: instance types, AMI and container image, for error messages.

The AMI's parameter is AWS's own (ECS-optimised Amazon Linux 2023 with the Neuron driver); images
are those of https://github.com/aws-neuron/deep-learning-containers (read 2026-11). SDK 2.30 is a
version whose images still have ``torch_neuronx.trace`` for Inf2 and Trn1.
"""

from __future__ import annotations

from typing import Final

from pilotage.catalog.instances import load_instances
from pilotage.catalog.neuron_chips import NeuronChipModel

AMI_PARAMETER: Final = (
    "/aws/service/ecs/optimized-ami/amazon-linux-2023/neuron/recommended/image_id"
)
IMAGE: Final = (
    "public.ecr.aws/neuron/pytorch-inference-neuronx:2.9.0-neuronx-py312-sdk2.30.0-ubuntu24.04"
)
INF1_IMAGE: Final = (
    "public.ecr.aws/neuron/pytorch-inference-neuron:1.13.1-neuron-py310-sdk2.18.2-ubuntu20.04"
)


def instance_types(chip: NeuronChipModel) -> tuple[str, ...]:
    """Instance types that have the chip, the smallest first."""
    found = [one for one in load_instances().values() if one.neuron_chip is chip]
    return tuple(one.name for one in sorted(found, key=lambda one: (one.vcpus, one.name)))


def where_to_run(chip: NeuronChipModel, command: str) -> str:
    """What to do where the SDK is missing: instance, AMI, image, and the whole command.

    Args:
        chip: What to compile for or run on.
        command: What the user asked for.
    """
    types = ", ".join(instance_types(chip)) or ", ".join(chip.families)
    if chip.core_version == 1:
        return (
            f"{chip.name} is in {types}. Its SDK ended with {INF1_IMAGE}, which has Python 3.10, "
            "and Pilotage needs 3.11: compile for Inferentia2 with --chip inf2 instead"
        )
    return (
        f"Run it on {types}, started from the AMI that "
        f"`aws ssm get-parameter --name {AMI_PARAMETER}` names, in AWS's image: "
        f'docker run --rm --device=/dev/neuron0 -v "$PWD:/work" -w /work {IMAGE} '
        f'sh -c "pip install pilotage transformers && {command}"'
    )
