"""CloudFormation's properties as the requests that they become, for botocore to check.

References are resolved to something of the right form; what CloudFormation spells differently from
the API is spelled as the API does.
"""

from __future__ import annotations

from typing import Any

import botocore.session
from botocore.validate import ParamValidator

from pilotage.ship.cloudformation import plain
from pilotage.ship.graph import Graph, Resource

_SESSION = botocore.session.get_session()
# Maps whose keys are the user's, not the API's.
_FREE_MAPS = ("options",)


def resolved(value: Any, parameters: dict[str, str]) -> Any:
    """A value as AWS would get it."""
    found = value
    match value:
        case {"Ref": name}:
            found = parameters.get(name, f"{name.removeprefix('AWS::')}-id")
        case {"Fn::GetAtt": [name, attribute]}:
            found = f"{name}-{attribute}"
        case {"Fn::Join": [between, parts]}:
            found = between.join(str(resolved(part, parameters)) for part in parts)
        case {"Fn::Base64": text}:
            found = resolved(text, parameters)
        case dict():
            found = {key: resolved(part, parameters) for key, part in value.items()}
        case list():
            found = [resolved(part, parameters) for part in value]
    return found


def properties(graph: Graph, resource: Resource) -> dict[str, Any]:
    """A resource's properties, resolved."""
    parameters = {one.name: one.default for one in graph.parameters}
    found = resolved(plain(resource.properties), parameters)
    assert isinstance(found, dict)
    return found


def camel(value: Any) -> Any:
    """Names that begin with a small letter, as ECS, ECR and CloudWatch Logs want them."""
    match value:
        case dict():
            made = {}
            for key, part in value.items():
                name = key[0].lower() + key[1:]
                made[name] = part if name in _FREE_MAPS else camel(part)
            return made
        case list():
            return [camel(part) for part in value]
        case _:
            return value


def problems(service: str, operation: str, request: dict[str, Any]) -> str:
    """What botocore has against a request; empty if nothing."""
    shape = _SESSION.get_service_model(service).operation_model(operation).input_shape
    return ParamValidator().validate(request, shape).generate_report()
