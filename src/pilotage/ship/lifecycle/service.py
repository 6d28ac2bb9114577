"""The ECS service of a stack: its replicas, and why some do not come up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from pilotage.errors import ServeError
from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.outcome import Replicas
from pilotage.ship.lifecycle.progress import Note, Say, Step
from pilotage.ship.lifecycle.stack import StackResource
from pilotage.ship.lifecycle.waiting import Waiting
from pilotage.units import printable

SERVICE_TYPE: Final = "AWS::ECS::Service"
_GONE: Final = ("ClusterNotFoundException", "ServiceNotFoundException")


@dataclass
class EcsService:
    """A service, as its stack names it.

    Attributes:
        aws: Where it is.
        cluster: Its cluster's name.
        name: Its name.
    """

    aws: Aws
    cluster: str
    name: str
    _told: set[str] = field(default_factory=set)

    @property
    def resource_id(self) -> str:
        """As Application Auto Scaling names it."""
        return f"service/{self.cluster}/{self.name}"

    def describe(self) -> dict[str, Any] | None:
        """ECS's description; None if it is gone."""
        answer = self.aws.try_call(
            "ecs", "describe_services", *_GONE, cluster=self.cluster, services=[self.name]
        )
        found: list[dict[str, Any]] = (answer or {}).get("services") or []
        return found[0] if found and found[0].get("status") != "INACTIVE" else None

    def replicas(self) -> Replicas | None:
        """How many there are; None if the service is gone."""
        told = self.describe()
        return None if told is None else _replicas(told)

    def tell(self, say: Say, step: Step) -> None:
        """Say the service's events since the last time, the oldest first."""
        told = self.describe() or {}
        for event in reversed(told.get("events") or []):
            if event["id"] not in self._told:
                self._told.add(event["id"])
                text = printable(str(event.get("message", "")))
                bad = "unable" in text or "failed" in text or "unhealthy" in text
                say(Note(step=step, text=text, what=self.name, bad=bad))

    def await_capacity(self, *, say: Say, waiting: Waiting) -> Replicas | None:
        """Wait until as many tasks run as should, all of the newest definition.

        Raises:
            ServeError: The rollout failed; says what stopped the tasks.
            TargetError: It took too long.
        """
        last: Replicas | None = None
        for _ in waiting.rounds(f"the service {self.name}"):
            told = self.describe()
            if told is None:
                return None
            self.tell(say, "capacity")
            rollout = _rollout(told)
            replicas = _replicas(told)
            if rollout == "FAILED":
                raise ServeError(
                    f"the service {self.name} does not come up: "
                    + ("; ".join(self.stopped()) or "ECS gives no reason"),
                    hint="Mend it and apply again; logs shows what the tasks wrote",
                )
            if replicas != last:
                text = f"{replicas.running} of {replicas.desired} tasks run"
                say(Note(step="capacity", text=text, what=self.name, state=rollout))
                last = replicas
            if replicas.running >= replicas.desired and rollout in (None, "COMPLETED"):
                return replicas
        return last

    def stopped(self, most: int = 5) -> tuple[str, ...]:
        """Why the last tasks stopped."""
        listed = self.aws.try_call(
            "ecs",
            "list_tasks",
            *_GONE,
            cluster=self.cluster,
            serviceName=self.name,
            desiredStatus="STOPPED",
        )
        tasks = ((listed or {}).get("taskArns") or [])[:most]
        if not tasks:
            return ()
        answer = self.aws.call("ecs", "describe_tasks", cluster=self.cluster, tasks=tasks)
        return tuple(dict.fromkeys(_why(task) for task in answer.get("tasks") or []))


def service_in(aws: Aws, resources: Iterable[StackResource]) -> EcsService | None:
    """The service that a stack holds; None if it holds none (yet)."""
    for one in resources:
        # arn:aws:ecs:region:account:service/cluster/name
        parts = one.id.partition(":service/")[2].split("/")
        if one.type == SERVICE_TYPE and len(parts) == 2:
            return EcsService(aws, parts[0], parts[1])
    return None


def _replicas(told: dict[str, Any]) -> Replicas:
    return Replicas(
        desired=int(told.get("desiredCount", 0)), running=int(told.get("runningCount", 0))
    )


def _rollout(told: dict[str, Any]) -> str | None:
    for one in told.get("deployments") or ():
        if one.get("status") == "PRIMARY":
            state = one.get("rolloutState")
            return None if state is None else str(state)
    return None


def _why(task: dict[str, Any]) -> str:
    reasons = [str(task.get("stoppedReason") or "stopped")]
    for one in task.get("containers") or ():
        if one.get("reason") or one.get("exitCode") not in (None, 0):
            code = f" (exit code {one['exitCode']})" if one.get("exitCode") is not None else ""
            reasons.append(f"{one.get('name')}: {one.get('reason') or 'ended'}{code}")
    return printable("; ".join(reasons))
