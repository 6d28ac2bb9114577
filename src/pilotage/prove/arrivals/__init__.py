"""When requests are due: processes, recorded traces, and what a spec's workload asks for.

All make a :class:`~pilotage.prove.load.Schedule`. The same arguments make the same one.
"""

from pilotage.prove.arrivals.bounds import MAX_REQUESTS
from pilotage.prove.arrivals.processes import constant, gamma, poisson, ramp
from pilotage.prove.arrivals.trace import Trace, replay, scaled_to
from pilotage.prove.arrivals.trace_file import read_trace
from pilotage.prove.arrivals.workload import for_workload

__all__ = [
    "MAX_REQUESTS",
    "Trace",
    "constant",
    "for_workload",
    "gamma",
    "poisson",
    "ramp",
    "read_trace",
    "replay",
    "scaled_to",
]
