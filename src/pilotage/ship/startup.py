"""How long a container takes until it answers, and how long health checks have to wait for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from pilotage.catalog.instances import Instance

LARGEST_GRACE: Final = 2_147_483_647
"""Largest ``healthCheckGracePeriodSeconds`` of an ECS service, seconds (68 years)."""

SAGEMAKER_START_S: Final = 3600
"""Largest ``ContainerStartupHealthCheckTimeoutInSeconds`` at SageMaker (botocore's model)."""

GRACE_MARGIN: Final = 2.0
"""Grace over the predicted time. The rates below are priors, so the prediction may be half of what
it will be; a grace that is too long only delays the end of a task that will never answer, one that
is too short kills every task that would have."""

S3_RATE: Final = 1e9
"""Bytes a second that one instance draws from S3 with parallel ranges. An assumption, below what
was measured over 100 Gb/s: s5cmd 2.6e9, Run:ai's streamer 3.1e9 (shared/facts/fetching.md)."""

HUB_RATE: Final = 100e6
"""Bytes a second from the Hub or another HTTPS source. An assumption: no measurement."""

EBS_RATE: Final = 125e6
"""Bytes a second of a gp3 volume with the throughput that is in its price (EBS pricing page)."""

NVME_RATE: Final = 1e9
"""Bytes a second of an instance's own NVMe disks. An assumption, below what AWS lists."""

WARM_UP_S: Final = 60.0
"""Seconds of compilation, CUDA graphs and warm-up; the prior of `pilotage.plan.offers`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Startup:
    """Times until a container answers.

    Attributes:
        fetch_s: Seconds to have the weights on an instance that has none.
        load_s: Seconds from weights on the disk to the first answer.
        grace_s: Seconds before a health check counts.
        notes: The formulas, a sentence each.
    """

    fetch_s: float
    load_s: float
    grace_s: int
    notes: tuple[str, ...]


def startup_of(
    weights_bytes: int,
    source: str,
    instance: Instance | None,
    *,
    instance_store: bool,
    tasks_per_instance: int = 1,
    given_grace: float | None = None,
) -> Startup:
    """The times of a container with these weights.

    ``fetch = weights / min(network, source, disk)``; ``load = weights / disk + warm-up``;
    ``grace = margin x (fetch + load)``, up to a whole minute. Tasks of one instance share its
    network and disks, and start together when the instance does; what they have fetched is shared,
    but nothing may rest on who comes first. Neither the instance's boot nor the pull of the image
    counts: the grace begins when the container runs.

    Args:
        weights_bytes: As they are stored.
        source: Where they come from, an address.
        instance: Where they go to; None for a machine that is not known: only the source bounds.
        instance_store: Whether its NVMe holds them.
        tasks_per_instance: Tasks that may do this at once.
        given_grace: Seconds that the spec gives, measured by the user.
    """
    rates = [_source_rate(source)]
    disk, disk_name = (NVME_RATE, "NVMe") if instance_store or instance is None else (EBS_RATE, "")
    if instance is not None:
        rates.append((instance.network_mbps * 1e6 / 8, f"network of {instance.name}"))
        disk_name = disk_name or "gp3 volume"
        if not instance_store:
            disk = min(disk, instance.ebs_mbps * 1e6 / 8)
    rates.append((disk, disk_name))
    rate, what = min(rates)
    rate, disk = rate / tasks_per_instance, disk / tasks_per_instance
    fetch_s = weights_bytes / rate
    load_s = weights_bytes / disk + WARM_UP_S
    shared = f", shared by {tasks_per_instance} tasks" if tasks_per_instance > 1 else ""
    notes = [
        f"Fetch {fetch_s:,.0f} s = {weights_bytes / 1e9:,.2f} GB / {rate / 1e6:,.0f} MB/s, "
        f"the rate of the {what}{shared}.",
        f"Load {load_s:,.0f} s = {weights_bytes / 1e9:,.2f} GB / {disk / 1e6:,.0f} MB/s of the "
        f"{disk_name} + {WARM_UP_S:.0f} s of warm-up.",
    ]
    if given_grace is not None:
        grace_s = min(LARGEST_GRACE, math.ceil(given_grace))
        notes.append(f"Grace {grace_s:,} s: given as shipping.grace.")
        if grace_s < fetch_s + load_s:
            notes.append(
                f"Careful: that grace is below the predicted {fetch_s + load_s:,.0f} s of fetch "
                "and load; a task that is not ready by then is killed, and again."
            )
    else:
        exact = GRACE_MARGIN * (fetch_s + load_s)
        grace_s = min(LARGEST_GRACE, 60 * math.ceil(exact / 60))
        notes.append(
            f"Grace {grace_s:,} s = {GRACE_MARGIN:g} x ({fetch_s:,.0f} + {load_s:,.0f}) s, up to "
            "a whole minute; prove measures the start-up, shipping.grace replaces it."
        )
    return Startup(fetch_s=fetch_s, load_s=load_s, grace_s=grace_s, notes=tuple(notes))


def _source_rate(source: str) -> tuple[float, str]:
    scheme = source.removeprefix("swarm://").partition("://")[0]
    if scheme == "s3":
        return (S3_RATE, "assumed S3 source")
    if scheme == "file":
        return (NVME_RATE, "local disk")
    return (HUB_RATE, "assumed HTTPS source")
