"""This machine: what it can do, what its engine makes of it, and where that is kept."""

from pilotage.plan.host.device import HOST, host_precision, measure_host
from pilotage.plan.host.fit import HostFit, fit_host
from pilotage.plan.host.measure import measure_bandwidth, measure_flops
from pilotage.plan.host.stored import HostCalibration

__all__ = [
    "HOST",
    "HostCalibration",
    "HostFit",
    "fit_host",
    "host_precision",
    "measure_bandwidth",
    "measure_flops",
    "measure_host",
]
