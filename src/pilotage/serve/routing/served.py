"""Which models a server runs itself: with remote tiers alone it runs none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pilotage.errors import UsageError
from pilotage.spec import Deployment, ModelSpec
from pilotage.spec.tiers import BackendSpec


def served_specs(deployment: Deployment) -> tuple[ModelSpec, ...]:
    """The models that this server runs, the default first.

    ``model:`` has a default. Where requests are routed, that default is not fetched for nobody:
    it counts if it was written down, or if a local backend means it.
    """
    others = deployment.serving.models
    if means_default_model(deployment):
        return (deployment.model, *others)
    return others


def means_default_model(deployment: Deployment) -> bool:
    """Whether ``model:`` is served."""
    if deployment.routing is None or "source" in deployment.model.model_fields_set:
        return True
    names = {name for _, name in _local_names(deployment)}
    return deployment.model.name in names


def local_model(backend: BackendSpec, deployment: Deployment) -> str:
    """The served model, or alias, that a local backend means."""
    return deployment.model.name if backend.model is None else backend.model


def check_names(deployment: Deployment) -> None:
    """See to it that routed names can be told apart, and local backends are there.

    A tier may have the name of a model: then the name means the tier.

    Raises:
        UsageError: A local backend names a model that is not served, or ``routing.model`` is the
            name of one.
    """
    routing = deployment.routing
    if routing is None:
        return
    names = [spec.name for spec in served_specs(deployment)]
    names += deployment.serving.aliases
    for place, name in _local_names(deployment):
        if name not in names:
            raise UsageError(
                f"the tier is to be answered by {name!r}, which this server does not serve",
                where=place,
                hint=f"Served here: {', '.join(names)}"
                if names
                else "Name it in model: or serving.models",
            )
    if routing.model in names:
        raise UsageError(
            f"{routing.model!r} is also the name of a model: nothing would tell the two apart",
            where="routing.model",
            hint="Choose another name for requests that are to be routed",
        )
    for index, tier in enumerate(routing.tiers):
        if tier.name in deployment.serving.aliases:
            raise UsageError(
                f"the tier {tier.name!r} has the name of an alias",
                where=f"routing.tiers[{index}].name",
                hint="Rename one of them",
            )


def check_tasks(deployment: Deployment, tasks: Mapping[str, str]) -> None:
    """See to it that local backends generate text.

    Args:
        deployment: The spec.
        tasks: What each served model does, by its name.

    Raises:
        UsageError: One is an encoder.
    """
    for place, name in _local_names(deployment):
        task = tasks.get(name, "generate")
        if task != "generate":
            raise UsageError(
                f"the tier is to be answered by {name!r}, which does {task}: it writes no answers",
                where=place,
                hint="Tiers are made of models that generate text",
            )


def _local_names(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """Every local backend: its place in the spec, and the model that it means."""
    routing = deployment.routing
    for index, tier in enumerate(() if routing is None else routing.tiers):
        for number, backend in enumerate(tier.backends):
            if backend.kind == "local":
                place = f"routing.tiers[{index}].backends[{number}] (tier {tier.name})"
                yield place, local_model(backend, deployment)
