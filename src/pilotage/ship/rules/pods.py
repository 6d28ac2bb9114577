"""Reads Kubernetes manifests for the rules: documents, and the pods that they describe."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from pilotage.ship.rules.reading import at, items
from pilotage.ship.target import Rendered

# libyaml's where there is one: ten times as fast.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RUN_ONCE: Final = ("Job", "CronJob", "Pod")
_ACCELERATORS: Final = ("nvidia.com/", "aws.amazon.com/neuron", "amd.com/gpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod as a manifest describes it.

    Attributes:
        where: File, kind and name.
        kind: Of the document: "Deployment", "InferenceService".
        spec: The pod's.
        replicas: Of the document; None where it says none.
        serving: Name and definition of the container that answers: the one with accelerators or
            with ports, else the first.
        everything: All containers, those of the start included.
    """

    where: str
    kind: str
    spec: Mapping[str, Any]
    replicas: int | None
    serving: tuple[str, Mapping[str, Any]]
    everything: tuple[tuple[str, Mapping[str, Any]], ...]

    @property
    def stays(self) -> bool:
        """Whether it serves until it is told to stop, and does not run once."""
        return self.kind not in _RUN_ONCE

    @property
    def filled_in(self) -> bool:
        """Whether KServe's own configuration fills in what is not said."""
        return self.kind == "LLMInferenceService"


def documents(rendered: Rendered) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Kubernetes objects of the rendered files: where, and the object."""
    for path, content in rendered.files.items():
        if not path.endswith((".yaml", ".yml")) or "apiVersion" not in content:
            continue
        for one in _read(content):
            name = at(one, "metadata", "name", default="?")
            yield f"{path}: {one['kind']}/{name}", one


# Twenty rules ask for the same few files; reading one takes milliseconds.
@functools.lru_cache(maxsize=32)
def _read(content: str) -> tuple[Mapping[str, Any], ...]:
    try:
        found = list(yaml.load_all(content, Loader=_LOADER))
    except yaml.YAMLError:
        return ()  # The file's own checks say so.
    return tuple(
        one for one in found if isinstance(one, Mapping) and "apiVersion" in one and "kind" in one
    )


def pods(rendered: Rendered) -> Iterator[Pod]:
    """Pods of all manifests: of Deployments and KServe's resources alike."""
    for where, document in documents(rendered):
        replicas = at(document, "spec", "replicas")
        for spec in _pod_specs(document.get("spec")):
            named = list(_containers(spec))
            if named:
                yield Pod(
                    where=where,
                    kind=str(document["kind"]),
                    spec=spec,
                    replicas=replicas if isinstance(replicas, int) else None,
                    serving=_serving(named),
                    everything=(*named, *_containers(spec, "initContainers")),
                )


def accelerators(container: Mapping[str, Any], end: str) -> dict[str, str]:
    """Accelerators in a container's ``limits`` or ``requests``."""
    held = at(container, "resources", end, default={})
    return {
        str(name): str(value)
        for name, value in (held.items() if isinstance(held, Mapping) else ())
        if str(name).startswith(_ACCELERATORS)
    }


def _pod_specs(value: Any) -> Iterator[Mapping[str, Any]]:
    """Mappings that hold containers, or KServe's ``model`` with resources in their place."""
    if not isinstance(value, Mapping):
        return
    if isinstance(value.get("containers"), list) or "resources" in at(value, "model", default={}):
        yield value
        return
    for part in value.values():
        yield from _pod_specs(part)


def _containers(
    spec: Mapping[str, Any], field: str = "containers"
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for index, one in enumerate(items(spec, field)):
        if isinstance(one, Mapping):
            yield f"{field}[{one.get('name', index)}]", one
    model = spec.get("model")
    if field == "containers" and isinstance(model, Mapping) and "resources" in model:
        yield "model", model


def _serving(named: list[tuple[str, Mapping[str, Any]]]) -> tuple[str, Mapping[str, Any]]:
    for wanted in (lambda one: accelerators(one, "limits"), lambda one: one.get("ports")):
        for name, one in named:
            if wanted(one):
                return name, one
    return named[0]
