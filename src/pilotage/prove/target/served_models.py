"""Which models a server says that it has, and which of them is meant."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import Any, Final

from pilotage.errors import TargetError
from pilotage.prove.client.answer import printable
from pilotage.prove.target.exchange import Reply
from pilotage.prove.target.refusal import not_the_api

_SHOWN_MODELS: Final = 20


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model as the server lists it.

    Attributes:
        name: Its name in requests.
        owner: Who owns it; most servers name themselves.
        max_model_len: Longest context in tokens, where the server says so.
    """

    name: str
    owner: str | None
    max_model_len: int | None


def listed_models(reply: Reply) -> list[ListedModel]:
    """The models in the answer to ``GET /v1/models``.

    Raises:
        TargetError: It is no list of models.
    """
    try:
        models = [
            ListedModel(
                name=str(model["id"]),
                owner=_owner(model.get("owned_by")),
                max_model_len=_length(model.get("max_model_len")),
            )
            for model in json.loads(reply.body)["data"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        why = "it sent a web page" if reply.is_web_page else "this is no list of models"
        raise not_the_api(reply, why) from None
    return models


def chosen_model(models: list[ListedModel], wanted: str | None, *, where: str) -> ListedModel:
    """The model named ``wanted``, or the only one there is.

    Raises:
        TargetError: It is not there, or there are several; names those that are.
    """
    if wanted is not None:
        for model in models:
            if model.name == wanted:
                return model
        raise TargetError(
            f"the server has no model {printable(wanted)!r}",
            where=where,
            hint=_advice(wanted, [model.name for model in models]),
        )
    if len(models) == 1:
        return models[0]
    if not models:
        raise TargetError(
            "the server lists no model", where=where, hint="Is one loaded? Or name it."
        )
    raise TargetError(
        f"the server has {len(models)} models",
        where=where,
        hint=f"Name the one to test: {_shown([model.name for model in models])}.",
    )


def _owner(value: Any) -> str | None:
    return printable(value)[:60] or None if isinstance(value, str) else None


def _length(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _advice(wanted: str, names: list[str]) -> str:
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.6)
    meant = f"Did you mean {printable(near[0])!r}? " if near else ""
    return f"{meant}It has {_shown(names)}."


def _shown(names: list[str]) -> str:
    shown = ", ".join(printable(name) for name in names[:_SHOWN_MODELS])
    more = len(names) - _SHOWN_MODELS
    return f"{shown} and {more} more" if more > 0 else shown or "none"
