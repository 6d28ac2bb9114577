"""Environment variables of whatever runs, and which of them hold a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pilotage.ship.rules.pods import pods
from pilotage.ship.rules.reading import at, containers, items, of_type, text
from pilotage.ship.target import Rendered

_NAME = re.compile(
    r"(^|_)(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|PRIVATE_KEY|API_KEYS?|ACCESS_KEY|"
    r"SECRET_ACCESS_KEY)$",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"\bhf_[A-Za-z0-9]{20,}|\bAKIA[0-9A-Z]{16}\b|\bsk-[A-Za-z0-9_-]{16,}|\bghp_[A-Za-z0-9]{20,}"
    r"|://[^/\s:@]+:[^/\s@]+@|-----BEGIN [A-Z ]*PRIVATE KEY"
)
_INNOCENT: Final = ("", "true", "false", "0", "1", "none")


def environments(rendered: Rendered) -> Iterator[tuple[str, str, Any]]:
    """Where, the variable's name, its value: of ECS, SageMaker, Lambda and Kubernetes."""
    for where, _, one in containers(rendered):
        for part in items(one, "Environment"):
            yield f"{where}.Environment", text(at(part, "Name")), at(part, "Value")
    for model in of_type(rendered, "AWS::SageMaker::Model"):
        for place in (
            model.properties.get("PrimaryContainer"),
            *items(model.properties, "Containers"),
        ):
            yield from _mapped(f"{model.name}.Environment", at(place, "Environment"))
    for component in of_type(rendered, "AWS::SageMaker::InferenceComponent"):
        held = at(component.properties, "Specification", "Container", "Environment")
        yield from _mapped(f"{component.name}.Environment", held)
    for function in of_type(rendered, "AWS::Lambda::Function"):
        held = at(function.properties, "Environment", "Variables")
        yield from _mapped(f"{function.name}.Environment", held)
    for pod in pods(rendered):
        for name, one in pod.everything:
            for part in items(one, "env"):
                yield f"{pod.where}.{name}.env", text(at(part, "name")), at(part, "value")


def secret_in(name: str, value: str) -> bool:
    """Whether a variable holds a secret: its name says so, or its value looks like one.

    A reference to a resource ("${Secret}") holds its ARN; names that end in _FILE, _ARN or _PATH
    say where the secret is.
    """
    if _VALUE.search(value):
        return True
    if value.lower() in _INNOCENT or value.startswith(("${", "/", "arn:", "$(")):
        return False
    return _NAME.search(name) is not None


def _mapped(where: str, variables: Any) -> Iterator[tuple[str, str, Any]]:
    if isinstance(variables, Mapping):
        for name, value in variables.items():
            yield where, str(name), value
