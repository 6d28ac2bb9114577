"""``pilotage fetch``: a model onto this machine, whole and verified; its path on standard output.

::

    pilotage serve "$(pilotage fetch hf://org/model)"
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from pilotage.cli.fetch_progress import json_progress, print_json, shown_progress
from pilotage.cli.flags import apply_overrides
from pilotage.errors import UsageError
from pilotage.fetch import FetchedModel
from pilotage.fetch import fetch as fetch_model
from pilotage.fetch.signature import SignatureCheck
from pilotage.spec import Deployment, load

SOURCE_VARIABLE: Final = "PILOTAGE_SOURCE"
"""Names where the model comes from in this environment: it stands for a source that is not given,
and takes the place of a spec file's."""

_SPEC_SUFFIXES = (".yaml", ".yml")


def fetch(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE|SPEC]",
            envvar=SOURCE_VARIABLE,
            help="Where the model comes from: hf://, s3://, https://, pypi://, swarm://, file:// "
            "or a path; or a spec file (.yaml).",
        ),
    ] = None,
    *,
    revision: Annotated[
        str | None, typer.Option(help="Commit, tag or branch, where the source does not hold it.")
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(help="The digest that a model of one file must have.")
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Only files like this; repeat for several."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="No files like this; repeat for several."),
    ] = None,
    deployment: Annotated[
        str | None, typer.Option(help="Which deployment, when the spec is a portfolio.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash a model that is in the cache again.")
    ] = False,
    home: Annotated[
        Path | None, typer.Option(help="The cache folder.", show_default="$PILOTAGE_HOME")
    ] = None,
    signed_by_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Check the model's signature: by this public key's."),
    ] = None,
    signed_by_certificate: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="By these authorities'; repeat for a chain."),
    ] = None,
    signed_by: Annotated[
        str | None,
        typer.Option(metavar="IDENTITY", help="By this identity's, with sigstore and --issuer."),
    ] = None,
    issuer: Annotated[
        str | None, typer.Option(metavar="URL", help="Who vouches for the identity.")
    ] = None,
    signature: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="The signature: a file of the model, or here if it begins with / or ./",
            show_default="model.sig",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print progress and result as JSON lines.")
    ] = False,
) -> None:
    """Have a model on this machine, verified byte for byte, and print its path.

    A model that is in the cache is not fetched again. What was interrupted goes on where it was.
    """
    if source is None:
        raise UsageError(
            "a source is missing", hint=f"Name one, or set {SOURCE_VARIABLE}: hf://org/model"
        )
    check = SignatureCheck.of_options(
        key=signed_by_key,
        certificates=signed_by_certificate or (),
        identity=signed_by,
        issuer=issuer,
        file=signature,
    )
    checked_fetch = fetch_model if check is None else partial(fetch_model, signature=check)
    if source.endswith(_SPEC_SUFFIXES):
        model = from_environment(load(Path(source), deployment=deployment)).model
        source = model.source
        revision, sha256 = revision or model.revision, sha256 or model.sha256
    with nullcontext(json_progress()) if as_json else shown_progress() as progress:
        fetched = checked_fetch(
            source,
            sha256=sha256,
            revision=revision,
            include=include or (),
            exclude=exclude or (),
            home=home,
            progress=progress,
            verify=verify,
        )
    if as_json:
        print_json(event="fetched", **_as_dict(fetched))
    else:
        typer.echo(fetched.path)


def from_environment(deployment: Deployment) -> Deployment:
    """A spec file's deployment with the source that `SOURCE_VARIABLE` names, if it names one.

    It is the same model from elsewhere: its digest and its name stay; a revision belongs to the
    place that it was written for.

    Raises:
        SpecError: The variable holds no source.
    """
    source = os.environ.get(SOURCE_VARIABLE)
    if not source or source.endswith(_SPEC_SUFFIXES) or source == deployment.model.source:
        return deployment
    model: dict[str, object] = {"source": source, "served_name": deployment.model.name}
    if "sha256" in deployment.model.model_fields_set:
        model["sha256"] = deployment.model.sha256
    return apply_overrides(deployment, {"model": model})


def _as_dict(fetched: FetchedModel) -> dict[str, Any]:
    return {
        "path": str(fetched.path),
        "from_cache": fetched.from_cache,
        "bytes": sum(file.size or 0 for file in fetched.manifest.files),
        **fetched.manifest.as_dict(),
    }
