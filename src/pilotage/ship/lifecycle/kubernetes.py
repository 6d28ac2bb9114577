"""The lifecycle of Kubernetes manifests, through the ``kubectl`` that is there.

The cluster's own server decides what changes (server-side apply, ``--dry-run=server``); objects
that lack our label are never taken over.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import yaml

from pilotage.errors import ServeError, TargetError, UsageError
from pilotage.ship.lifecycle.asking import HttpEndpoint, UnreachableError, await_answer
from pilotage.ship.lifecycle.cloudformation import Options
from pilotage.ship.lifecycle.difference import Change, Difference
from pilotage.ship.lifecycle.lifecycle import Agree, AgreeToDestroy
from pilotage.ship.lifecycle.outcome import (
    Applied,
    Destroyed,
    Leftover,
    LogLine,
    Replicas,
    Status,
)
from pilotage.ship.lifecycle.progress import Note, Say
from pilotage.ship.lifecycle.stack import NameCollisionError
from pilotage.ship.target import Rendered, Shipment
from pilotage.units import printable

LABEL: Final = "pilotage.dev/deployment"
MANAGER: Final = "pilotage"

# What keeps data, and is left when the rest is gone.
_KEPT: Final = frozenset({"PersistentVolumeClaim"})
_ROLLOUTS: Final = frozenset({"Deployment", "StatefulSet"})


@dataclass(frozen=True, slots=True)
class KubernetesLifecycle:
    """See `Lifecycle`.

    Attributes:
        options: As the user gave them.
        kubectl: The command.
    """

    options: Options
    kubectl: str = "kubectl"

    def diff(self, shipment: Shipment, rendered: Rendered) -> Difference:
        """See `Lifecycle.diff`."""
        changes: list[Change] = []
        for wanted in manifests(rendered):
            present = self._get(shipment, wanted)
            name, kind = str(wanted["metadata"]["name"]), str(wanted["kind"])
            if present is None:
                changes.append(Change(action="add", name=name, type=kind))
                continue
            self._check_ours(shipment, present)
            after = json.loads(
                self._run(
                    ["apply", "--server-side", "--dry-run=server", f"--field-manager={MANAGER}",
                     "-o", "json", "-f", "-"],
                    given=wanted,
                )
            )  # fmt: skip
            fields = tuple(sorted(_differing(_plain(present), _plain(after))))
            if fields:
                changes.append(
                    Change(action="change", name=name, type=kind, id=name, fields=fields)
                )
        return Difference(
            where=f"namespace {shipment.shipping.namespace}",
            changes=tuple(changes),
            new=len(changes) == len(manifests(rendered)) and all(
                one.action == "add" for one in changes
            ),
        )  # fmt: skip

    def apply(self, shipment: Shipment, rendered: Rendered, *, agree: Agree, say: Say) -> Applied:
        """See `Lifecycle.apply`."""
        difference = self.diff(shipment, rendered)
        if not difference.empty and not agree(difference):
            return Applied(difference=difference, applied=False, agreed=False)
        wanted = manifests(rendered)
        for one in wanted:
            what = f"{one['kind']}/{one['metadata']['name']}"
            self._run(
                ["apply", "--server-side", f"--field-manager={MANAGER}", "-f", "-"], given=one
            )
            say(Note(step="change", text="is applied", what=what))
        for one in wanted:
            if one["kind"] in _ROLLOUTS:
                self._roll_out(shipment, one, say=say)
        answered = False
        if self.options.completion and self.options.address is not None:
            endpoint = HttpEndpoint(address=self.options.address, key=self.options.key)
            model = shipment.deployment.model_name
            try:
                await_answer(endpoint, model, say=say, waiting=self.options.waiting)
            except UnreachableError as error:
                raise UnreachableError(
                    error.message,
                    where=error.where,
                    hint="kubectl port-forward makes a service reachable from here",
                ) from None
            answered = True
        elif self.options.completion:
            say(Note(step="completion", text="not asked: say --address, such as a port-forward's"))
        return Applied(
            difference=difference,
            applied=not difference.empty,
            status=self.status(shipment),
            answered=answered,
        )

    def status(self, shipment: Shipment) -> Status:
        """See `Lifecycle.status`."""
        found = self._ours(shipment, "deployments,statefulsets")
        if not found:
            return Status(name=shipment.name, state="absent")
        desired = sum(int(one["spec"].get("replicas", 1)) for one in found)
        ready = sum(int(one.get("status", {}).get("readyReplicas", 0)) for one in found)
        return Status(
            name=shipment.name,
            state="ready" if ready >= desired else "progressing",
            address=self.options.address,
            replicas=Replicas(desired=desired, running=ready, healthy=ready),
            since=datetime.fromisoformat(
                found[0]["metadata"]["creationTimestamp"].replace("Z", "+00:00")
            ),
        )

    def logs(
        self, shipment: Shipment, *, since_s: float, most: int, follow: bool
    ) -> Iterator[LogLine]:
        """See `HasLogs.logs`."""
        del follow  # kubectl logs --follow itself does it better
        text = self._run(
            ["logs", "-n", shipment.shipping.namespace, "-l", self._selector(shipment), "--prefix",
             f"--since={max(1, int(since_s))}s", f"--tail={most}", "--timestamps"]
        )  # fmt: skip
        for line in text.splitlines():
            stream, _, rest = line.partition(" ")
            at, _, said = rest.partition(" ")
            try:
                moment = datetime.fromisoformat(at.replace("Z", "+00:00")[:26] + "+00:00")
            except ValueError:
                moment, said = datetime.now(UTC), rest
            yield LogLine(at=moment, stream=stream.strip("[]"), text=printable(said))

    def destroy(self, shipment: Shipment, *, agree: AgreeToDestroy, say: Say) -> Destroyed:
        """See `Lifecycle.destroy`."""
        kinds = self._kinds()
        present = self._ours(shipment, kinds)
        gone = [one for one in present if self.options.purge or one["kind"] not in _KEPT]
        if gone and not agree(self.status(shipment)):
            return Destroyed(name=shipment.name, agreed=False)
        for one in gone:
            what = f"{one['kind'].lower()}/{one['metadata']['name']}"
            say(Note(step="delete", text="is deleted", what=what))
            self._run(
                ["delete", what, "-n", shipment.shipping.namespace, "--ignore-not-found",
                 "--wait=true", "--cascade=foreground"]
            )  # fmt: skip
        left = [one for one in present if one not in gone]
        return Destroyed(
            name=shipment.name,
            existed=bool(present),
            leftovers=tuple(_leftover(one, shipment.shipping.namespace) for one in left),
        )

    def _roll_out(self, shipment: Shipment, wanted: Mapping[str, Any], *, say: Say) -> None:
        what = f"{wanted['kind'].lower()}/{wanted['metadata']['name']}"
        say(Note(step="capacity", text="waiting for the rollout", what=what))
        namespace = shipment.shipping.namespace
        timeout = f"--timeout={int(self.options.waiting.limit_s)}s"
        try:
            self._run(["rollout", "status", what, "-n", namespace, timeout])
        except TargetError as error:
            for line in self.logs(shipment, since_s=3600, most=20, follow=False):
                say(Note(step="capacity", text=line.text, what=line.stream, bad=True))
            if not self.options.keep:
                say(Note(step="rollback", text="the last good revision", what=what))
                self._run(["rollout", "undo", what, "-n", namespace], check=False)
            raise ServeError(
                f"{what} does not come up: {error.message}", hint="kubectl describe says more"
            ) from None

    def _get(self, shipment: Shipment, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
        what = f"{wanted['kind'].lower()}/{wanted['metadata']['name']}"
        text = self._run(
            ["get", what, "-n", shipment.shipping.namespace, "--ignore-not-found", "-o", "json"]
        )
        return json.loads(text) if text.strip() else None

    def _ours(self, shipment: Shipment, kinds: str) -> list[dict[str, Any]]:
        text = self._run(
            ["get", kinds, "-n", shipment.shipping.namespace, "-l", self._selector(shipment),
             "--ignore-not-found", "-o", "json"]
        )  # fmt: skip
        found: list[dict[str, Any]] = json.loads(text)["items"] if text.strip() else []
        return found

    def _kinds(self) -> str:
        """Every kind that a deployment may consist of and this cluster knows."""
        known = set(
            self._run(["api-resources", "--verbs=delete", "--namespaced", "-o", "name"]).split()
        )
        ours = (
            "deployments.apps",
            "statefulsets.apps",
            "services",
            "configmaps",
            "serviceaccounts",
            "persistentvolumeclaims",
            "horizontalpodautoscalers.autoscaling",
            "poddisruptionbudgets.policy",
            "networkpolicies.networking.k8s.io",
            "ingresses.networking.k8s.io",
            "scaledobjects.keda.sh",
            "servicemonitors.monitoring.coreos.com",
            "prometheusrules.monitoring.coreos.com",
            "inferenceservices.serving.kserve.io",
            "llminferenceservices.serving.kserve.io",
        )
        return ",".join(one for one in ours if one in known) or "deployments"

    def _selector(self, shipment: Shipment) -> str:
        return f"{LABEL}={shipment.deployment.name}"

    def _check_ours(self, shipment: Shipment, present: Mapping[str, Any]) -> None:
        labels = present["metadata"].get("labels") or {}
        if labels.get(LABEL) != shipment.deployment.name:
            raise NameCollisionError(
                f"name collision: {present['kind']}/{present['metadata']['name']} has no label "
                f"{LABEL}={shipment.deployment.name}, so it is not ours and stays as it is",
                where=f"namespace {shipment.shipping.namespace}",
                hint="Choose another name or namespace, or remove it yourself",
            )

    def _run(
        self, arguments: list[str], *, given: Mapping[str, Any] | None = None, check: bool = True
    ) -> str:
        command = shutil.which(self.kubectl)
        if command is None:
            raise UsageError(
                "kubectl is not installed",
                hint="Install it, or apply what render wrote where it is: kubectl apply -f FOLDER",
            )
        done = subprocess.run(
            [command, *arguments],
            input=None if given is None else json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode != 0:
            said = printable(" ".join(done.stderr.split()))[:600]
            raise TargetError(
                f"kubectl {arguments[0]} failed: {said}",
                hint="Nothing is lost, and the same command goes on from what the cluster has",
            )
        return done.stdout


def manifests(rendered: Rendered) -> tuple[dict[str, Any], ...]:
    """Every object of the rendered YAML files, in the order of the files."""
    return tuple(
        one
        for name, text in rendered.files.items()
        if name.endswith((".yaml", ".yml"))
        for one in yaml.safe_load_all(text)
        if isinstance(one, dict) and "kind" in one and "apiVersion" in one
    )


def _plain(found: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what the server writes by itself."""
    meta = {
        key: value
        for key, value in found["metadata"].items()
        if key in ("name", "namespace", "labels", "annotations")
    }
    return {
        **{key: value for key, value in found.items() if key not in ("metadata", "status")},
        "metadata": meta,
    }


def _differing(old: Any, new: Any, path: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            yield from _differing(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif old != new:
        yield path


def _leftover(one: Mapping[str, Any], namespace: str) -> Leftover:
    name = f"{one['kind'].lower()}/{one['metadata']['name']}"
    return Leftover(type=str(one["kind"]), id=name, remove=f"kubectl delete {name} -n {namespace}")
