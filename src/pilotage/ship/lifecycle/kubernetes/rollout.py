"""Waiting until what was applied runs, whoever makes the pods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pilotage.errors import ServeError, TargetError
from pilotage.ship.lifecycle.kubernetes.kubectl import Kubectl
from pilotage.ship.lifecycle.kubernetes.objects import Object, named
from pilotage.ship.lifecycle.outcome import Replicas, Status
from pilotage.ship.lifecycle.progress import Note, Say
from pilotage.ship.lifecycle.waiting import TooLongError, Waiting
from pilotage.ship.target import Shipment

KSERVE: Final = frozenset({"InferenceService", "LLMInferenceService"})
WORKLOADS: Final = frozenset({"Deployment", "StatefulSet", *KSERVE})

_NODE_S: Final = 900
"""For a node to come, and to pull an image; as the Deployment's own progress deadline has it."""


def await_rollout(
    kubectl: Kubectl, shipment: Shipment, wanted: Object, *, say: Say, waiting: Waiting
) -> None:
    """Wait until a workload runs as it was applied.

    Raises:
        ServeError: It does not come up.
    """
    what = named(wanted)
    say(Note(step="capacity", text="waiting for the rollout", what=what))
    try:
        if wanted["kind"] in KSERVE:
            _await_ready(kubectl, shipment, what, say=say, waiting=waiting)
        else:
            kubectl.run(
                "rollout", "status", what, "-n", kubectl.namespace,
                f"--timeout={max(1, int(waiting.limit_s))}s",
            )  # fmt: skip
    except TargetError as error:
        raise ServeError(
            f"{what} does not come up: {error.message}", hint="kubectl describe says more"
        ) from None


def status_of(
    shipment: Shipment, found: Sequence[Object], pods: Sequence[Object], *, address: str | None
) -> Status:
    """The status of a deployment from its workloads, and from its pods where KServe makes them.

    Args:
        shipment: What is shipped.
        found: Its workloads.
        pods: Its pods.
        address: Where it is asked, if the user says so.
    """
    if not found:
        return Status(name=shipment.name, state="absent")
    if any(one["kind"] in KSERVE for one in found):
        desired = max(shipment.sizing.min_replicas, len(pods))
        running = sum(_condition(one, "Ready") == "True" for one in pods)
    else:
        desired = sum(int(one["spec"].get("replicas", 1)) for one in found)
        running = sum(int(one.get("status", {}).get("readyReplicas") or 0) for one in found)
    ready = all(_is_ready(one) for one in found) and running >= desired
    urls = [url for one in found if (url := one.get("status", {}).get("url"))]
    made = [one["metadata"].get("creationTimestamp") for one in found]
    return Status(
        name=shipment.name,
        state="ready" if ready else "progressing",
        address=address or (str(urls[0]) if urls else None),
        replicas=Replicas(desired=desired, running=running, healthy=running),
        since=min((datetime.fromisoformat(one) for one in made if one), default=None),
        details=tuple(
            f"{one['kind']}/{one['metadata']['name']}: {said}"
            for one in found
            if (said := _complaint(one))
        ),
    )


def _await_ready(
    kubectl: Kubectl, shipment: Shipment, what: str, *, say: Say, waiting: Waiting
) -> None:
    """Until KServe calls it ready, for what was applied and not for what was there before."""
    sizing = shipment.sizing
    limit = min(waiting.limit_s, sizing.grace_s + math.ceil(sizing.fetch_s) + _NODE_S)
    patience, said = Waiting(poll_s=waiting.poll_s, limit_s=limit), ""
    try:
        for _ in patience.rounds(what):
            found: Object = next(iter(kubectl.get(what)), {"metadata": {}})
            seen = found.get("status", {}).get("observedGeneration")
            fresh = seen is None or seen >= found["metadata"].get("generation", 0)
            if fresh and _condition(found, "Ready") == "True":
                return
            complaint = _complaint(found)
            if complaint and complaint != said:
                say(Note(step="capacity", text=complaint, what=what))
                said = complaint
    except TooLongError as error:
        raise TargetError(f"{error.message}{f': {said}' if said else ''}") from None


def _is_ready(one: Object) -> bool:
    return one["kind"] not in KSERVE or _condition(one, "Ready") == "True"


def _condition(one: Object, name: str) -> str | None:
    found = _conditions(one).get(name, {}).get("status")
    return None if found is None else str(found)


def _complaint(one: Object) -> str:
    """Why it is not ready, in the platform's words."""
    for condition in _conditions(one).values():
        if condition.get("status") == "False" and condition.get("type") != "Stopped":
            words = (condition.get("reason"), condition.get("message"))
            return ": ".join(str(part)[:200] for part in words if part)
    return ""


def _conditions(one: Object) -> dict[str, Mapping[str, Any]]:
    found = one.get("status", {}).get("conditions") or ()
    return {str(each.get("type")): each for each in found if isinstance(each, Mapping)}
