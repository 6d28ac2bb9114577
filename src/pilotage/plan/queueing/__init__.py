"""Queues in closed form: a check on the simulation and a first estimate."""

from pilotage.plan.queueing.erlang import (
    erlang_b,
    erlang_c,
    mmc_wait_quantile_s,
    mmc_wait_s,
    servers_for,
)
from pilotage.plan.queueing.estimate import QueueEstimate, estimate
from pilotage.plan.queueing.general import mg1_wait_s, mgc_wait_quantile_s, mgc_wait_s

__all__ = [
    "QueueEstimate",
    "erlang_b",
    "erlang_c",
    "estimate",
    "mg1_wait_s",
    "mgc_wait_quantile_s",
    "mgc_wait_s",
    "mmc_wait_quantile_s",
    "mmc_wait_s",
    "servers_for",
]
