"""Parts of ``serving:`` that say which models are where on the machine."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from pilotage.spec.fields import Section
from pilotage.spec.model import ModelSpec


class ServedModelSpec(ModelSpec):
    """A further model of the same server."""

    load: Literal["preload", "lazy"] = Field(
        default="preload",
        description="preload: before the server is ready; lazy: at its first request.",
    )


class WorkerSpec(Section):
    """One worker, when they are named one by one."""

    devices: tuple[int, ...] = Field(
        default=(),
        strict=False,
        description="CUDA devices or NeuronCores of this worker, by their numbers.",
    )
    cores: tuple[int, ...] = Field(
        default=(), strict=False, description="Logical CPUs this worker is pinned to."
    )
    models: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="Names of the models it holds. All of them if not given.",
    )

    @field_validator("devices", "cores")
    @classmethod
    def _numbers_differ(cls, numbers: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(numbers)) != len(numbers) or any(number < 0 for number in numbers):
            raise ValueError("should be different numbers from 0")
        return numbers


class AliasSpec(Section):
    """A model behind an alias, and its share of the requests."""

    model: str = Field(min_length=1, description="Name of a served model.")
    weight: float = Field(
        default=1.0, gt=0, le=1e6, description="Share of the requests, relative to the others'."
    )
