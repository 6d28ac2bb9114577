"""Queues whose service is not exponential: M/G/1 in closed form, M/G/c approximately.

M/G/1 (Pollaczek 1930, Khinchine 1932; Kleinrock, Queueing Systems 1, section 5.6)::

    mean wait = rate E[S^2] / (2 (1 - rho)) = rho / (1 - rho) x (1 + cv^2) / 2 x E[S]

where cv is the service's coefficient of variation (standard deviation over mean).

M/G/c (Lee and Longton 1959; also the M/G/c case of Allen-Cunneen, A. O. Allen, Probability,
Statistics and Queueing Theory, 1990, section 5.3.5)::

    mean wait = (1 + cv^2) / 2 x mean wait of M/M/c

exact for exponential service and for one server. For even service (cv < 1) on several servers it
is too low at small loads; Kimura's refinement (A two-moment approximation for the mean waiting
time in the GI/G/s queue, Management Science 32, 1986) weights M/D/c in. The M/D/c wait is
Cosmetatos' (Some approximate equilibrium results for the multi-server queue M/G/r, Operational
Research Quarterly 27, 1976)::

    W(M/D/c) = W(M/M/c) / 2 x (1 + (1 - rho)(c - 1)(sqrt(4 + 5c) - 2) / (16 rho c))
    W = (1 + cv^2) / (2 cv^2 / W(M/M/c) + (1 - cv^2) / W(M/D/c))        for cv <= 1

The second term of M/D/c's is bounded by 0.24 at light load (W. Whitt, Approximations for the
GI/G/m queue, Production and Operations Management 2, 1993).

The tail is taken as exponential among those that wait, and the probability of waiting as M/M/c's,
which is nearly insensitive to the service's distribution (Tijms, A First Course in Stochastic
Models, 2003, section 9.6).
"""

from __future__ import annotations

import math

from pilotage.errors import UsageError
from pilotage.plan.queueing.erlang import erlang_c, mmc_wait_s


def mg1_wait_s(rate: float, service_s: float, cv: float) -> float:
    """Mean wait before service in seconds of a single server; infinite when overloaded."""
    _check(service_s, cv)
    rho = rate * service_s
    if rho >= 1:
        return math.inf
    return rho / (1 - rho) * (1 + cv**2) / 2 * service_s


def mgc_wait_s(rate: float, service_s: float, servers: int, cv: float) -> float:
    """Approximate mean wait of several servers behind one queue."""
    _check(service_s, cv)
    exponential = mmc_wait_s(rate, service_s, servers)
    if cv >= 1 or not 0 < exponential < math.inf:
        return (1 + cv**2) / 2 * exponential
    rho = rate * service_s / servers
    root = math.sqrt(4 + 5 * servers) - 2
    raised = 1 + min(0.24, (1 - rho) * (servers - 1) * root / (16 * rho * servers))
    even = exponential / 2 * raised
    return (1 + cv**2) / (2 * cv**2 / exponential + (1 - cv**2) / even)


def mgc_wait_quantile_s(
    rate: float, service_s: float, servers: int, cv: float, share: float
) -> float:
    """Approximate seconds that ``share`` of the requests wait at most; 0 if so many do not."""
    if not 0 <= share < 1:
        raise UsageError(f"got {share:g}", where="share", hint="Give a share from 0 to below 1.")
    mean = mgc_wait_s(rate, service_s, servers, cv)
    if math.isinf(mean):
        return math.inf
    waits = erlang_c(rate * service_s, servers)
    if waits <= 1 - share:
        return 0.0
    return mean / waits * math.log(waits / (1 - share))


def _check(service_s: float, cv: float) -> None:
    if not (service_s > 0 and cv >= 0):
        raise UsageError(f"a service of {service_s:g} s with cv {cv:g}", where="queue")
