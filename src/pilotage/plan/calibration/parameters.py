"""The parameters that efficiencies are made of, and what is believed of them before measuring.

An efficiency is a sum in link space: a common value, plus what the number format, the generation
of the software and the accelerator each add. Whatever was never measured adds nothing, so that an
accelerator never seen gets the common value of its format: that is the prior. Shares go through
the logistic function (always between 0 and 1), seconds through the exponential.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pilotage.catalog.accelerators import Accelerator
from pilotage.plan.precision import Precision, peak_flops
from pilotage.plan.roofline import Efficiency

OLD: Final = "tensorrt-llm-2023"
_REFERENCE_PEAK: Final = 500e12
_LOWEST_PEAK: Final = 312e12
"""The slope is known from the A100 upwards; below it is held flat rather than extrapolated."""


@dataclass(frozen=True, slots=True)
class Prior:
    """A normal distribution in link space."""

    mean: float
    deviation: float


def _share(value: float) -> float:
    return math.log(value / (1 - value))


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))


COMMON: Final[Mapping[str, Prior]] = MappingProxyType(
    {
        # Stream benchmarks reach 85 to 92 % of a data sheet's bandwidth, kernels of engines less.
        "bandwidth": Prior(_share(0.8), 0.4),
        # Large matrix products reach 50 to 80 % of the dense peak.
        "compute": Prior(_share(0.6), 0.4),
        # How the share falls with the peak, an e-fold: power limits and tiles that fill a larger
        # device less (prefill of the facts: A100 68 %, L40S fp8 53 %, H100 fp8 40 % of ever
        # larger peaks, which is a slope of 0.3 to 0.6 with overheads in it).
        "peak_slope": Prior(0.3, 0.15),
        # Grouped products of routed experts: half of what dense ones reach.
        "experts": Prior(_share(0.5), 0.6),
        # 12 widths of the stream and 6 of the block a token, half of it fused or in caches.
        "activations": Prior(_share(0.5), 0.5),
        # All-reduce benchmarks (NCCL) reach 60 % of a link's bandwidth at megabytes.
        "link": Prior(_share(0.6), 0.4),
        "repeats": Prior(_share(0.4), 0.5),
        # Ten kernels a layer, a few microseconds each; less under CUDA graphs.
        "layer_s": Prior(math.log(25e-6), 0.7),
        "step_s": Prior(math.log(0.5e-3), 0.7),
        # Python handles every sequence of a step; TensorRT-LLM of 2023 did so in C++.
        "sequence_s": Prior(math.log(8e-6), 0.5),
        f"sequence_s:{OLD}": Prior(-2.0, 0.3),
        # One-shot all-reduces take some 12 us; NCCL, as used in 2023, 25 to 40.
        "allreduce_s": Prior(math.log(12e-6), 0.5),
        f"allreduce_s:{OLD}": Prior(0.9, 0.3),
    }
)
_ADDED: Final[Mapping[str, float]] = MappingProxyType(
    {"format": 0.3, "engine": 0.3, "accelerator": 0.2, "pair": 0.1}
)
"""Standard deviation of what each level adds to bandwidth's and compute's share; mean 0."""

_LAYER_ENGINE: Final = Prior(0.0, 0.5)


@dataclass(frozen=True, slots=True)
class Setting:
    """What an efficiency depends on: an accelerator, a format, a generation of software."""

    accelerator: str
    precision: str
    engine: str
    peak: float

    @staticmethod
    def of(accelerator: Accelerator, precision: Precision, engine: str) -> Setting:
        """The setting of a device, a precision and an engine's key."""
        return Setting(
            accelerator.name,
            _FORMATS.get(precision.name, precision.name),
            engine,
            peak_flops(precision, accelerator),
        )

    @property
    def key(self) -> str:
        """As it is written in the data file."""
        return f"{self.accelerator} {self.precision} {self.engine}"


_FORMATS: Final[Mapping[str, str]] = MappingProxyType({"bf16": "fp16", "gptq": "awq"})
"""Formats that take the same time to read and multiply."""


def priors(settings: Iterable[Setting]) -> dict[str, Prior]:
    """Every parameter that these settings involve, with its prior."""
    found = dict(COMMON)
    for setting in settings:
        for name in ("bandwidth", "compute"):
            for level, part in _levels(setting).items():
                found[f"{name}:{part}"] = Prior(0.0, _ADDED[level])
        found[f"layer_s:{setting.engine}"] = _LAYER_ENGINE
    return found


def efficiency_of(values: Mapping[str, float], setting: Setting, source: str) -> Efficiency:
    """The efficiency that parameters give a setting; one that is missing adds nothing.

    Args:
        values: In link space, the common ones at least.
        setting: Accelerator, format and engine.
        source: What they were fitted on.
    """

    def with_levels(name: str) -> float:
        return values[name] + sum(
            values.get(f"{name}:{part}", 0.0) for part in _levels(setting).values()
        )

    def of_engine(name: str) -> float:
        return math.exp(values[name] + values.get(f"{name}:{setting.engine}", 0.0))

    slope = values["peak_slope"] * math.log(max(setting.peak, _LOWEST_PEAK) / _REFERENCE_PEAK)
    return Efficiency(
        bandwidth=_logistic(with_levels("bandwidth")),
        compute=_logistic(with_levels("compute") - slope),
        experts=_logistic(values["experts"]),
        activations=_logistic(values["activations"]),
        repeats=_logistic(values["repeats"]) if setting.engine == OLD else 0.0,
        link=_logistic(values["link"]),
        step_s=math.exp(values["step_s"]),
        layer_s=of_engine("layer_s"),
        sequence_s=of_engine("sequence_s"),
        allreduce_s=of_engine("allreduce_s"),
        source=source,
    )


def _levels(setting: Setting) -> dict[str, str]:
    return {
        "format": setting.precision,
        "engine": setting.engine,
        "accelerator": setting.accelerator,
        "pair": f"{setting.accelerator}+{setting.precision}",
    }
