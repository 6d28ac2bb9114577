"""Rules read whatever a rendering holds: a reference, nothing, a wrong type make none fail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import good_renders as good
import pytest
from good_renders import put

from pilotage.ship.graph import Ref
from pilotage.ship.rules import Broken, check_rules
from pilotage.ship.target import Rendered


def paths(value: Any, before: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in nested mappings and lists."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield (*before, key)
            yield from paths(part, (*before, key))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield (*before, index)
            yield from paths(part, (*before, index))


@pytest.mark.parametrize("odd", [Ref("Other"), None, "text", [], 0, [None]], ids=repr)
@pytest.mark.parametrize("kind", ["ecs", "sagemaker", "function"])
def test_odd_values_are_read(kind: str, odd: Any) -> None:
    rendered, shipment = getattr(good, kind)()
    assert rendered.graph is not None
    tried = 0
    for one in rendered.graph.resources:
        small = replace(rendered.graph, resources=(one,))
        for path in paths(one.properties):
            if path[0] == "Tags":
                continue
            changed = put(one.type, *path, value=odd)(replace(rendered, graph=small))
            found = check_rules(changed, shipment)
            assert all(isinstance(broken, Broken) for broken in found)
            tried += 1
    assert tried >= 3


@pytest.mark.parametrize(
    "content",
    [
        "apiVersion: v1\nkind: [",
        "apiVersion: v1\nkind: Deployment\nspec: {template: {spec: {containers: [1, null]}}}",
        "apiVersion: v1\nkind: Deployment\nmetadata: 3\nspec: [1]",
        "apiVersion: v1\nkind: PodDisruptionBudget\nspec: {minAvailable: many}",
        "apiVersion: v1\nkind: Deployment\nspec: {template: {spec: {containers: [{name: a, env: 3,"
        " resources: {limits: {memory: much}}}], volumes: [1]}}}",
    ],
)
def test_odd_manifests_are_read(content: str) -> None:
    _, shipment = good.kubernetes(4)
    rendered = Rendered(files={"odd.yaml": content, "request.json": "{"})
    assert all(isinstance(one, Broken) for one in check_rules(rendered, shipment))
