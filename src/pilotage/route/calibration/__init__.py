"""Calibration: what is fitted and measured on the user's own data, and the file that holds it.

Reading a calibration needs no NumPy; making one is `pilotage.route.calibration.calibrate`.
"""

from pilotage.route.calibration.calibration import Calibration
from pilotage.route.calibration.check import check_policy
from pilotage.route.calibration.logprobs import LogprobModel

__all__ = ["Calibration", "LogprobModel", "check_policy"]
