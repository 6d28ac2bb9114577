"""The tokenizer that ``pilotage prove`` makes prompts and counts tokens with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pilotage.errors import PilotageError
from pilotage.fetch import fetch
from pilotage.spec import Deployment, ModelSpec
from pilotage.tokens import Tokenizer

NONE = "none"


@dataclass(frozen=True)
class NamedTokenizer:
    """A tokenizer and whose it is.

    Attributes:
        name: For the report.
        tokenizer: The tokenizer.
    """

    name: str
    tokenizer: Tokenizer


def choose_tokenizer(
    given: str | None, deployment: Deployment, waiting: Callable[[str], None]
) -> NamedTokenizer | None:
    """The tokenizer that ``given`` names; else the model's own; else the embedded model's.

    Another model's tokenizer is good enough to make prompts of about the right length. The
    preflight finds out how far it is from the server's counts, and the report says so.

    Args:
        given: A path, a model's source, or "none".
        deployment: Of the spec.
        waiting: Is told what takes time.

    Raises:
        PilotageError: The one that was asked for cannot be had.
    """
    if given == NONE:
        return None
    if given is not None:
        model = ModelSpec.model_validate({"source": given}, context={"folder": Path.cwd()})
        return _open(model, waiting)
    try:
        return _open(deployment.model, waiting)
    except PilotageError as error:
        if deployment.model == ModelSpec():
            waiting(f"no tokenizer ({error.message}): prompt lengths are approximate")
            return None
        waiting(f"the model's own tokenizer cannot be had here ({error.message})")
    try:
        return _open(ModelSpec(), waiting)
    except PilotageError:
        return None


def _open(model: ModelSpec, waiting: Callable[[str], None]) -> NamedTokenizer:
    told = False

    def tell(_: object) -> None:
        nonlocal told
        if not told:
            told = True
            waiting(f"fetching {model.name} for its tokenizer")

    fetched = fetch(model.source, sha256=model.sha256, revision=model.revision, progress=tell)
    return NamedTokenizer(model.name, Tokenizer.open(fetched.path))
