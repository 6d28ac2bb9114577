"""The efficiency of an accelerator in a precision under an engine, from the shipped calibration."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pilotage.catalog.accelerators import Accelerator
from pilotage.plan.calibration.parameters import Setting, efficiency_of
from pilotage.plan.precision import Precision
from pilotage.plan.roofline import Efficiency


@dataclass(frozen=True, slots=True)
class Calibration:
    """Fitted parameters.

    Attributes:
        parameters: In link space, see `pilotage.plan.calibration.parameters`.
        rows: Measurements behind each setting ("l4 fp16 vllm": 5).
        fitted_on: What they are and when.
        errors: Median relative error by kind on what was left out, see bench/plan_accuracy.py.
    """

    parameters: dict[str, float]
    rows: dict[str, int]
    fitted_on: str
    errors: dict[str, float]

    def efficiency(
        self, accelerator: Accelerator, precision: Precision, *, engine: str = "vllm"
    ) -> Efficiency:
        """The factors of a setting, with what they rest on in their ``source``."""
        setting = Setting.of(accelerator, precision, engine)
        return efficiency_of(self.parameters, setting, self._source(setting))

    def _source(self, setting: Setting) -> str:
        own = self.rows.get(setting.key, 0)
        if own:
            return f"fitted on {own} rows of {setting.key} among {self.fitted_on}"

        def rows_with(part: str) -> int:
            return sum(count for key, count in self.rows.items() if part in key.split())

        device, precision = rows_with(setting.accelerator), rows_with(setting.precision)
        if device:
            return (
                f"prior: no measurement of {setting.key}; the accelerator's {device} rows in"
                f" other settings and the format's {precision} among {self.fitted_on}"
            )
        return (
            f"prior: no measurement of {setting.accelerator}; the common values of"
            f" {self.fitted_on} ({precision} rows in {setting.precision})"
        )


@cache
def shipped() -> Calibration:
    """The calibration that comes with Pilotage; bench/plan_accuracy.py --write made it."""
    text = files(__package__).joinpath("efficiencies.json").read_text(encoding="utf-8")
    data = json.loads(text)
    return Calibration(
        parameters=data["parameters"],
        rows=data["rows"],
        fitted_on=data["fitted_on"],
        errors=data["errors"],
    )


def efficiency_for(
    accelerator: Accelerator, precision: Precision, *, engine: str = "vllm"
) -> Efficiency:
    """The shipped calibration's factors; a prior where nothing was measured, and it says so.

    Args:
        accelerator: One of the catalogue's.
        precision: How the model is held.
        engine: "vllm", "tensorrt-llm" (2025), "tensorrt-llm-2023"; another one gets what these
            have in common.
    """
    return shipped().efficiency(accelerator, precision, engine=engine)
