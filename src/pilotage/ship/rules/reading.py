"""Reads a rendering for the rules: fields of resources, containers, text with references in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pilotage.ship.graph import Attribute, Graph, Join, Ref, Resource
from pilotage.ship.target import Rendered

EMPTY: Final = Graph(name="", description="")

SERVICE: Final = "AWS::ECS::Service"
TASK: Final = "AWS::ECS::TaskDefinition"
PROVIDER: Final = "AWS::ECS::CapacityProvider"
GROUP: Final = "AWS::AutoScaling::AutoScalingGroup"
TEMPLATE: Final = "AWS::EC2::LaunchTemplate"


def graph_of(rendered: Rendered) -> Graph:
    """The resources; none where the target has no AWS resources."""
    return rendered.graph or EMPTY


def of_type(rendered: Rendered, *kinds: str) -> Iterator[Resource]:
    """Resources of these types."""
    return (one for one in graph_of(rendered).resources if one.type in kinds)


def at(value: Any, *path: str | int, default: Any = None) -> Any:
    """What lies at a path of keys and indices; ``default`` where it ends early."""
    for step in path:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list | tuple) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return default
        if value is None:
            return default
    return value


def items(value: Any, *path: str | int) -> tuple[Any, ...]:
    """The list that lies at a path; empty where there is none."""
    found = at(value, *path, default=())
    return tuple(found) if isinstance(found, list | tuple) else ()


def number(value: Any) -> float | None:
    """A number, also one that is written as text; None for references and the rest."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return None


def truth(value: Any) -> bool:
    """CloudFormation's booleans: true, "true"."""
    return value is True or (isinstance(value, str) and value.lower() == "true")


def text(value: Any) -> str:
    """All text below a value, with ``${Name}`` in place of references."""
    match value:
        case str():
            found = value
        case Ref(name):
            found = f"${{{name}}}"
        case Attribute(name, attribute):
            found = f"${{{name}.{attribute}}}"
        case Join(parts):
            found = "".join(text(part) for part in parts)
        case {"Fn::Sub": str() as template}:
            found = template
        case Mapping():
            found = " ".join(text(part) for part in value.values())
        case list() | tuple():
            found = " ".join(text(part) for part in value)
        case None:
            found = ""
        case _:
            found = str(value)
    return found


def pinned(image: str) -> bool:
    """Whether an image cannot change under its name: it has a digest, or a tag that is no latest.

    A name that is nothing but a reference is given when the stack is made; it is not judged.
    """
    last = image.rpartition("/")[2]
    if not image or "@" in last or (image.startswith("${") and image.endswith("}")):
        return True
    return ":" in last and not last.endswith(":latest")


def target_name(value: Any) -> str | None:
    """The logical name that a value refers to, if it is a reference."""
    if isinstance(value, Ref | Attribute):
        return value.name
    if isinstance(value, Mapping) and len(value) == 1:
        if "Ref" in value:
            return str(value["Ref"])
        if "Fn::GetAtt" in value:
            found = value["Fn::GetAtt"]
            return str(found[0] if isinstance(found, list | tuple) else found.split(".")[0])
    return None


def containers(rendered: Rendered) -> Iterator[tuple[str, Resource, Mapping[str, Any]]]:
    """ECS containers: the field's name, their task definition, their own definition."""
    for task in of_type(rendered, TASK):
        for index, one in enumerate(items(task.properties, "ContainerDefinitions")):
            if isinstance(one, Mapping):
                name = one.get("Name")
                shown = name if isinstance(name, str) else index
                yield f"{task.name}.ContainerDefinitions[{shown}]", task, one


def gpus(container: Mapping[str, Any]) -> int:
    """GPUs that an ECS container asks for."""
    return sum(
        int(number(one.get("Value")) or 0)
        for one in items(container, "ResourceRequirements")
        if isinstance(one, Mapping) and one.get("Type") == "GPU"
    )


def templates(rendered: Rendered) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Launch templates: the field's name and their data."""
    for one in of_type(rendered, TEMPLATE):
        data = at(one.properties, "LaunchTemplateData", default={})
        if isinstance(data, Mapping):
            yield f"{one.name}.LaunchTemplateData", data


def user_data(rendered: Rendered) -> str:
    """What instances run at their start, all launch templates together."""
    return "\n".join(text(data.get("UserData")) for _, data in templates(rendered))


def spot(rendered: Rendered) -> bool:
    """Whether an auto-scaling group takes spot instances."""
    for group in of_type(rendered, GROUP):
        distribution = at(
            group.properties, "MixedInstancesPolicy", "InstancesDistribution", default={}
        )
        share = number(at(distribution, "OnDemandPercentageAboveBaseCapacity", default=100))
        if share is not None and share < 100:
            return True
    return any(
        at(data, "InstanceMarketOptions", "MarketType") == "spot" for _, data in templates(rendered)
    )
