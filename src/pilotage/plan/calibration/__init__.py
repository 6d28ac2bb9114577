"""Calibration: efficiencies fitted on published measurements."""

from pilotage.plan.calibration.lookup import efficiency_for

__all__ = ["efficiency_for"]
