"""AWS's own chips: how many NeuronCores, how much memory.

Source: AWS Neuron documentation, architecture pages and ``neuron-ls`` examples.
"""

from __future__ import annotations

from dataclasses import dataclass

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class NeuronChipModel:
    """One model of chip.

    Attributes:
        name: As the driver says it.
        core_version: Generation of its NeuronCores; a compiled model is for one generation.
        cores: NeuronCores of a chip.
        memory_bytes: Of a chip.
        cores_together: Cores that the runtime shows as one unless ``NEURON_LOGICAL_NC_CONFIG``
            says otherwise.
        families: Instance families that have it.
    """

    name: str
    core_version: int
    cores: int
    memory_bytes: int
    families: tuple[str, ...]
    cores_together: int = 1

    @property
    def visible_cores(self) -> int:
        """Cores of a chip as ``NEURON_RT_VISIBLE_CORES`` counts them."""
        return self.cores // self.cores_together


NEURON_CHIPS = (
    NeuronChipModel("Inferentia", 1, 4, 8 * _GIB, ("inf1",)),
    NeuronChipModel("Inferentia2", 2, 2, 32 * _GIB, ("inf2",)),
    NeuronChipModel("Trainium", 2, 2, 32 * _GIB, ("trn1", "trn1n")),
    NeuronChipModel("Trainium2", 3, 8, 96 * _GIB, ("trn2", "trn2n"), cores_together=2),
)


def chip_model(name: str) -> NeuronChipModel | None:
    """The model of a name: ``Inferentia2``, ``Trainium1``, or a family such as ``inf2``."""
    wanted = name.strip().lower()
    for model in NEURON_CHIPS:
        if wanted in (model.name.lower(), f"{model.name.lower()}1", *model.families):
            return model
    return None
