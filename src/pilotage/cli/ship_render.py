"""``pilotage ship render``: the deployment as files to review."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pilotage.cli.ship_arguments import (
    CanaryOption,
    DeploymentOption,
    JsonOption,
    PlanOption,
    SpecArgument,
    TargetOption,
    shipped,
)
from pilotage.cli.ship_screen import errors, output, print_json, show_remarks


def render(
    spec: SpecArgument,
    *,
    deployment: DeploymentOption = None,
    target: TargetOption = None,
    plan: PlanOption = None,
    canary: CanaryOption = False,
    folder: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Where to.", show_default="ship/NAME"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write everything that would be applied into a folder, once it breaks no rule.

    Files that were not rendered there, or were edited since, are never overwritten.
    """
    from pilotage.ship.lifecycle.folder import write_folder  # noqa: PLC0415

    wanted = shipped(spec, deployment, target, plan, alone=canary)
    rendered = wanted.rendered()
    shipment = wanted.shipment
    where = folder or shipment.shipping.output or Path("ship") / shipment.deployment.name
    written = write_folder(Path(where), rendered.files, deployment=shipment.deployment.name)
    if as_json:
        print_json(
            {
                "deployment": shipment.deployment.name,
                "target": shipment.target,
                "folder": str(where),
                "files": [str(one) for one in written],
                "notes": rendered.notes,
                "warnings": rendered.warnings,
                # Of a function's zip, whose name tells CloudFormation that it is another.
                "package_key": rendered.extra.get("package_key"),
            }
        )
        return
    console = output()
    for one in written:
        console.print(str(one))
    show_remarks(errors(), rendered)
