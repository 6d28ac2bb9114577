"""What a workflow is written for: a deployment, where its files lie, and how long it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from pilotage.errors import UsageError
from pilotage.ship.pipeline.canary import SUFFIX, canary
from pilotage.ship.target import Shipment
from pilotage.spec.shipping import TargetName

RUNNER: Final = "ubuntu-24.04"
"""GitHub's own. A version, so that it does not change under the workflow."""

_OWN_IMAGE: Final = frozenset({"ecs", "sagemaker", "sagemaker-async", "kubernetes"})
_BALANCED: Final = frozenset({"ecs", "terraform"})
_LEAST_START_S: Final = 600
_SPARE_S: Final = 1200
_LONGEST_JOB_M: Final = 355  # GitHub ends a job of its own runners after 6 h.
_LONGEST_SESSION_S: Final = 43_200  # of an assumed role
_EVERYBODY: Final = "0.0.0.0/0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """What a workflow is written for.

    Attributes:
        shipment: What is shipped.
        spec: The spec's path in the repository.
        plan: The plan's, if there is one.
        others: Further files that the deployment is made of.
        deployment: Of a portfolio; None where the spec is of one deployment.
        requirements: Path of the locked requirements that Pilotage is installed from; None is its
            version from the index.
        branch: What is on it is deployed.
        runner: Label of the machines that the jobs run on.
        replan: Whether the spec is planned anew, to find out whether something still fits.
        kinds: Kinds of the Kubernetes objects that are rendered.
        service_port: Port of the Service among them.
    """

    shipment: Shipment
    spec: str
    plan: str | None = None
    others: tuple[str, ...] = ()
    deployment: str | None = None
    requirements: str | None = None
    branch: str = "main"
    runner: str = RUNNER
    replan: bool = True
    kinds: frozenset[str] = frozenset()
    service_port: int = 80

    @property
    def name(self) -> str:
        """The deployment's."""
        return self.shipment.deployment.name

    @property
    def target(self) -> str:
        """The platform."""
        return self.shipment.target

    @property
    def region(self) -> str:
        """AWS's."""
        return self.shipment.shipping.region

    def released(self, *, alone: bool) -> str:
        """Name of the stack or release.

        Args:
            alone: The canary's.
        """
        return self.shipment.name + (SUFFIX if alone else "")

    def change_s(self, *, alone: bool) -> int:
        """Longest time, in seconds, that one wait of a change takes.

        Twice the grace of a replica, and what instances and balancers take; twice that where the
        replicas are replaced in turn.

        Args:
            alone: Of the canary, which is one.
        """
        one = max(_LEAST_START_S, 2 * self.shipment.sizing.grace_s) + _SPARE_S
        return one if alone else 2 * one

    def minutes(self, *seconds: float) -> int:
        """A job's time-out, in minutes: its parts, rounded up to five."""
        return min(_LONGEST_JOB_M, 5 * math.ceil(sum(seconds) / 300))

    def session_s(self, minutes: int) -> int:
        """How long a job's credentials hold, in seconds: as long as the job, an hour at least."""
        return min(_LONGEST_SESSION_S, max(3600, minutes * 60))

    @property
    def rate(self) -> float | None:
        """One replica's share of the busiest minutes, requests a second; None if not known."""
        plan, workload = self.shipment.plan, self.shipment.deployment.workload
        if plan is not None:
            whole = plan.predictions.rate
        elif workload is not None:
            whole = workload.arrivals.peak
        else:
            return None
        return whole / max(1, self.shipment.sizing.desired)

    @property
    def promised(self) -> bool:
        """Whether there is an SLO."""
        return bool(self.shipment.deployment.slo.model_dump(exclude_none=True))


def check_target(target: TargetName) -> None:
    """Refuse a target that outlives no workflow.

    Raises:
        UsageError: It is this machine.
    """
    if target == "local":
        raise UsageError(
            "a workflow's machine is gone when the workflow ends, and with it what it started",
            where="--target local",
            hint="On this machine: pilotage ship apply SPEC --target local",
        )


def check(pipeline: Pipeline) -> None:
    """Refuse what no workflow can deploy, or not without giving something away.

    Raises:
        UsageError: Says which field, and the fix.
    """
    shipment = pipeline.shipment
    shipping, target = shipment.shipping, shipment.target
    check_target(target)
    if target != "bedrock-provisioned":
        canary(shipment.deployment, shipment.plan)
    own = target in _OWN_IMAGE or "InferenceService" in pipeline.kinds
    if own and shipping.image.uri is None:
        raise UsageError(
            "the canary would run an image of its own, and so prove nothing of what is promoted",
            where="shipping.image.uri",
            hint="Build the image once (pilotage ship images SPEC --build --push), and name it "
            "here with its digest",
        )
    if target == "ecs" and shipping.keys_secret_arn is None:
        raise UsageError(
            "the first API key is printed once, which would be in the workflow's log",
            where="shipping.keys_secret_arn",
            hint="Put the keys' file into a secret of Secrets Manager, and name it here",
        )
    network = shipping.network
    reached = network.public and _EVERYBODY in network.allowed_cidrs
    if target in _BALANCED and pipeline.runner == RUNNER and not reached:
        raise UsageError(
            "GitHub's machines do not reach the load balancer, so that nothing could be asked",
            where="shipping.network",
            hint="Pass --runner with the label of runners within the VPC, or open it: "
            f"public: true, allowed_cidrs: [{_EVERYBODY}]",
        )
    if target == "ecs" and not reached and network.vpc_id is None:
        raise UsageError(
            "the canary would be in a VPC of its own, which the runner is not in",
            where="shipping.network.vpc_id",
            hint="Name the VPC that the runners are in",
        )
