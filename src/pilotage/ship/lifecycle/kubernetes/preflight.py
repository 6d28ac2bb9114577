"""What a cluster must have before anything is applied, so that nothing is half made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pilotage.errors import UsageError
from pilotage.ship.lifecycle.kubernetes.kubectl import Kubectl
from pilotage.ship.lifecycle.kubernetes.objects import Object

_BROUGHT_BY: Final = {
    "ServiceMonitor": "prometheus-operator",
    "PodMonitor": "prometheus-operator",
    "PrometheusRule": "prometheus-operator",
    "ScaledObject": "KEDA",
    "InferenceService": "KServe",
    "LLMInferenceService": "KServe with its LLMInferenceService controller",
}


def check_kinds(kubectl: Kubectl, wanted: Sequence[Object], known: Mapping[str, str]) -> None:
    """See to it that namespace and kinds are there.

    Raises:
        UsageError: The namespace is not there, or the cluster does not know a kind.
    """
    space = kubectl.namespace
    # Who may not look at namespaces may still apply within one.
    there = kubectl.may("get", "namespace", space, "--ignore-not-found", "-o", "name")
    if there is not None and not there.strip():
        raise UsageError(
            f'the cluster has no namespace "{space}"',
            where="shipping.namespace",
            hint=f"kubectl create namespace {space}; or is it another cluster: "
            "kubectl config current-context",
        )
    unknown = sorted({str(one["kind"]) for one in wanted} - known.keys())
    if unknown:
        brought = sorted({_BROUGHT_BY.get(kind, kind) for kind in unknown})
        raise UsageError(
            f"the cluster does not know {', '.join(unknown)}",
            where=f"namespace {space}",
            hint=f"Install {' and '.join(brought)}; README.md of what is rendered lists all of it",
        )


def check_secrets(kubectl: Kubectl, wanted: Sequence[Object]) -> None:
    """See to it that the Secrets are there, without reading them.

    A pod that lacks one never starts, and its rollout is given up after tens of minutes only.

    Raises:
        UsageError: Some are missing.
    """
    needed = sorted({name for one in wanted for name in _secrets(one)})
    if not needed:
        return
    text = kubectl.may(
        "get", "secret", *needed, "-n", kubectl.namespace, "--ignore-not-found", "-o", "name"
    )
    if text is None:
        return  # Not allowed to look: the rollout tells.
    there = {line.rpartition("/")[2] for line in text.split()}
    missing = [name for name in needed if name not in there]
    if missing:
        raise UsageError(
            f"the namespace lacks the Secret{'s' if missing[1:] else ''} {', '.join(missing)}",
            where=f"namespace {kubectl.namespace}",
            hint="README.md of what is rendered has the commands that make them: "
            "kubectl create secret generic …",
        )


def _secrets(value: Any) -> Iterator[str]:
    """Secrets that an object cannot do without."""
    if isinstance(value, list):
        for one in value:
            yield from _secrets(one)
    if not isinstance(value, Mapping):
        return
    for key, inner in value.items():
        if key == "secrets" and value.get("kind") == "ServiceAccount":
            yield from (str(one["name"]) for one in inner)
        elif not isinstance(inner, Mapping):
            yield from _secrets(inner)
        elif key in ("secret", "secretKeyRef", "credentials") and not inner.get("optional"):
            name = inner.get("secretName", inner.get("name"))
            if isinstance(name, str):
                yield name
        else:
            yield from _secrets(inner)
