"""``pilotage ship pipeline``: a GitHub Actions workflow that checks, tries and promotes a spec."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pilotage.cli.ship_arguments import (
    DeploymentOption,
    JsonOption,
    PlanOption,
    SpecArgument,
    TargetOption,
    shipped,
)
from pilotage.cli.ship_screen import errors, output, print_json
from pilotage.errors import UsageError
from pilotage.units import printable

if TYPE_CHECKING:
    from pilotage.ship.target import Shipment

_SUFFIXES: Final = (".yaml", ".yml")
# What GitHub takes and neither an expression nor a filter reads as something else.
_BRANCH: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,200}")
_RUNNER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}")


def pipeline(
    spec: SpecArgument,
    *,
    deployment: DeploymentOption = None,
    target: TargetOption = None,
    plan: PlanOption = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to.",
            show_default=".github/workflows/NAME.yml",
        ),
    ] = None,
    branch: Annotated[str, typer.Option(help="What is on it is deployed.")] = "main",
    runner: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL",
            help="The machines that the jobs run on: those in the VPC, where it is closed.",
            show_default="GitHub's",
        ),
    ] = None,
    requirements: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Locked requirements (with hashes) to install Pilotage from.",
            show_default="its version from the index",
        ),
    ] = None,
    replan: Annotated[
        bool,
        typer.Option(
            "--replan/--no-replan", help="Plan each time, and fail when nothing fits any more."
        ),
    ] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite a file that something else wrote or edited.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a GitHub Actions workflow for a spec: checks, canary, promotion, and the way back.

    No credentials are in it: the jobs have short-lived ones, by OIDC.
    """
    from pilotage.ship.pipeline import (  # noqa: PLC0415
        RUNNER,
        Pipeline,
        check,
        check_target,
        in_repository,
        kinds,
        load_actions,
        repository,
        service_port,
        workflow,
        write_workflow,
    )

    _check_word(branch, _BRANCH, "--branch")
    _check_word(runner or RUNNER, _RUNNER, "--runner")
    if spec.suffix not in _SUFFIXES:
        raise UsageError(
            "pilotage prove knows a spec by its name, which should end in .yaml",
            where=printable(str(spec)),
        )
    wanted = shipped(spec, deployment, target, plan)
    shipment = wanted.shipment
    check_target(shipment.target)  # before it is held against this machine's cores
    rendered = wanted.rendered()
    root = repository(Path.cwd())
    where = file or root / ".github" / "workflows" / f"{shipment.deployment.name}.yml"
    itself = in_repository(where, root, where="--output")

    def named(path: Path | None, flag: str) -> str | None:
        if path is None:
            return None
        if not path.is_file():
            raise UsageError("there is no such file", where=f"{flag} {printable(str(path))}")
        return in_repository(path, root, where=flag)

    asked = Pipeline(
        shipment=shipment,
        spec=in_repository(spec, root, where="SPEC"),
        plan=named(plan, "--plan"),
        others=tuple(
            in_repository(one, root, where="routing.calibration") for one in _further(shipment)
        ),
        deployment=deployment,
        requirements=named(requirements, "--requirements"),
        branch=branch,
        runner=runner or RUNNER,
        replan=replan,
        kinds=kinds(rendered, shipment.target),
        service_port=service_port(rendered, shipment.target),
    )
    check(asked)
    if shipment.target != "bedrock-provisioned":
        shipped(spec, deployment, target, plan, alone=True).rendered()  # the canary holds the rules
    changed = write_workflow(where, workflow(asked, itself), force=force)
    if as_json:
        used = {one.name: one.version for one in load_actions().values()}
        print_json(_told(asked.name, asked.target, itself, used, changed=changed))
        return
    output().print(itself, markup=False)
    if requirements is None:
        errors().print(
            "note: Pilotage is installed without a lock, by jobs that may deploy. --requirements "
            "names a file of uv pip compile --generate-hashes",
            style="dim",
        )


def _told(
    name: str, target: str, file: str, actions: dict[str, str], *, changed: bool
) -> dict[str, Any]:
    return {
        "deployment": name,
        "target": target,
        "file": file,
        "changed": changed,
        "actions": actions,
    }


def _check_word(word: str, allowed: re.Pattern[str], flag: str) -> None:
    if not allowed.fullmatch(word):
        raise UsageError(
            f'"{printable(word[:60])}" is none that a workflow can name',
            where=flag,
            hint="Letters, digits, dots, hyphens and underscores work",
        )


def _further(shipment: Shipment) -> tuple[Path, ...]:
    """Files beside spec and plan that the deployment is made of."""
    routing = shipment.deployment.routing
    return () if routing is None or routing.calibration is None else (routing.calibration,)
