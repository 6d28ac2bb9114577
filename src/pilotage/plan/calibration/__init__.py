"""Calibration: efficiencies fitted on published measurements."""

from pilotage.plan.calibration.fit import fit
from pilotage.plan.calibration.lookup import Calibration, efficiency_for, shipped
from pilotage.plan.calibration.measurement import (
    KINDS,
    Measurement,
    engine_key,
    parse_measurements,
    read_measurements,
)
from pilotage.plan.calibration.parameters import Setting, efficiency_of
from pilotage.plan.calibration.prepared import Prepared, Unusable, predict_memory, prepare

__all__ = [
    "KINDS",
    "Calibration",
    "Measurement",
    "Prepared",
    "Setting",
    "Unusable",
    "efficiency_for",
    "efficiency_of",
    "engine_key",
    "fit",
    "parse_measurements",
    "predict_memory",
    "prepare",
    "read_measurements",
    "shipped",
]
