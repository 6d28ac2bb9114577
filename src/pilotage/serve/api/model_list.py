"""The served models, and the aliases in front of them."""

from __future__ import annotations

from typing import Any

from pilotage.serve.api.context import GatewayContext, ServedModel
from pilotage.serve.api.submission import find_model
from pilotage.serve.control import AliasTarget


def all_cards(context: GatewayContext) -> list[dict[str, Any]]:
    """What is routed, models, then aliases, as ``/v1/models`` shows them."""
    routed = [] if context.routing is None else context.routing.cards()
    named = {card["id"] for card in routed}
    cards = [_model_card(one) for one in context.models.all() if one.name not in named]
    return routed + cards + [_alias_card(context, *alias) for alias in _aliases(context).items()]


def card_of(context: GatewayContext, name: str) -> dict[str, Any]:
    """A model or alias as ``/v1/models/{name}`` shows it.

    Raises:
        ApiError: 404, there is none of that name.
    """
    if context.routing is not None and name in context.routing.names:
        return context.routing.card(name)
    targets = _aliases(context).get(name)
    # An alias is not looked up as a request is: that would take a turn from one of its targets.
    if targets is not None:
        return _alias_card(context, name, targets)
    return _model_card(find_model(context, name, peek=True))


def _aliases(context: GatewayContext) -> dict[str, tuple[AliasTarget, ...]]:
    return {} if context.control is None else context.control.aliases()


def _model_card(model: ServedModel) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "pilotage",
        "root": model.name,
        "max_model_len": model.context_length(),
    }


def _alias_card(
    context: GatewayContext, name: str, targets: tuple[AliasTarget, ...]
) -> dict[str, Any]:
    """An alias is what most of its requests get, with the context length that all of them have."""
    behind = {target.model for target in targets}
    models = [model for model in context.models.all() if model.name in behind]
    lengths = [length for model in models if (length := model.context_length()) is not None]
    return {
        "id": name,
        "object": "model",
        "created": max((model.created for model in models), default=0),
        "owned_by": "pilotage",
        "root": max(targets, key=lambda target: target.weight).model,
        "max_model_len": min(lengths) if len(lengths) == len(behind) else None,
    }
