"""M/M/c in closed form: Poisson arrivals, exponential service, c servers, one queue.

Sources: A. K. Erlang (1917); L. Kleinrock, Queueing Systems, volume 1 (1975), section 3.5; the
stable recursion for B: R. B. Cooper, Introduction to Queueing Theory (1981), chapter 3.

With ``a = rate x service`` (the offered load, in Erlang) and ``rho = a / c``::

    B(0) = 1,  B(k) = a B(k-1) / (k + a B(k-1))        blocked if nobody waits
    C = B(c) / (1 - rho (1 - B(c)))                    has to wait if all do
    P(wait > t) = C exp(-(1 - rho) c t / service)

The last line holds because with all servers busy the number waiting falls as in an M/M/1 queue
of service rate ``c / service``. A request that finds a server free does not wait at all, so the
wait has a mass of ``1 - C`` at 0: its quantile is 0 up to there, which is right, and no estimate
of a latency. Add the service before comparing with a target.
"""

from __future__ import annotations

import math

from pilotage.errors import UsageError


def erlang_b(load: float, servers: int) -> float:
    """Probability that all of ``servers`` are busy when nobody waits; ``load`` in Erlang."""
    _check(load, servers)
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    return blocked


def erlang_c(load: float, servers: int) -> float:
    """Probability that an arrival has to wait; 1 when the load is not below the servers."""
    if load >= servers:
        _check(load, servers)
        return 1.0
    blocked = erlang_b(load, servers)
    return blocked / (1 - load / servers * (1 - blocked))


def mmc_wait_s(rate: float, service_s: float, servers: int) -> float:
    """Mean wait before service in seconds; infinite when the queue has no end."""
    load = rate * service_s
    waits = erlang_c(load, servers)
    return waits * service_s / (servers - load) if load < servers else math.inf


def mmc_wait_quantile_s(rate: float, service_s: float, servers: int, share: float) -> float:
    """Seconds that ``share`` of the requests wait at most; 0 where so many do not wait."""
    if not 0 <= share < 1:
        raise UsageError(f"got {share:g}", where="share", hint="Give a share from 0 to below 1.")
    load = rate * service_s
    waits = erlang_c(load, servers)
    if load >= servers:
        return math.inf
    if waits <= 1 - share:
        return 0.0
    return math.log(waits / (1 - share)) * service_s / (servers - load)


def servers_for(rate: float, service_s: float, wait_s: float, share: float) -> int:
    """Fewest servers with which ``share`` of the requests wait at most ``wait_s``."""
    if wait_s < 0:
        raise UsageError(f"got {wait_s:g} s", where="wait_s")
    servers = math.floor(rate * service_s) + 1
    while mmc_wait_quantile_s(rate, service_s, servers, share) > wait_s:
        servers += 1
    return servers


def _check(load: float, servers: int) -> None:
    if not (load >= 0 and math.isfinite(load) and servers >= 1):
        raise UsageError(f"a load of {load:g} on {servers} servers", where="queue")
