"""``pilotage ship dashboards``: a Grafana dashboard and Prometheus rules for a deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

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

# Not the list of `render`: both may write into one folder, and neither removes the other's files.
_LIST: Final = ".pilotage-dashboards.json"


def dashboards(
    spec: SpecArgument,
    *,
    deployment: DeploymentOption = None,
    target: TargetOption = None,
    plan: PlanOption = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Where to.", show_default="ship/NAME-dashboards"
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite what was not written here, or was edited.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write dashboard.json for Grafana and rules.yaml for Prometheus, limits from spec and plan.

    Files that were not written there, or were edited since, are not overwritten without --force.
    """
    from pilotage.ship.lifecycle.folder import write_folder  # noqa: PLC0415
    from pilotage.ship.monitoring import monitoring_files  # noqa: PLC0415
    from pilotage.ship.targets.scraped import scrape_of  # noqa: PLC0415

    shipment = shipped(spec, deployment, target, plan).shipment
    scrape = scrape_of(shipment)
    made = monitoring_files(shipment, scrape)
    name = shipment.deployment.name
    where = folder or Path("ship") / f"{name}-dashboards"
    written = write_folder(where, made.files, deployment=name, listed_in=_LIST, force=force)
    rules = made.rules
    if as_json:
        print_json(
            {
                "deployment": name,
                "target": shipment.target,
                "folder": str(where),
                "files": [str(one) for one in written],
                "job": scrape.job,
                "namespace": scrape.namespace,
                "alerts": [
                    {
                        "name": one.name,
                        "severity": one.severity,
                        "expression": one.expression,
                        "reason": one.reason,
                    }
                    for one in rules.alerts
                ],
                "notes": rules.notes,
            }
        )
        return
    console, remarks = output(), errors()
    for one in written:
        console.print(str(one), markup=False)
    place = f", namespace {scrape.namespace}" if scrape.namespace else ""
    remarks.print(
        f"{len(rules.alerts)} alerts; Prometheus reads it as job {scrape.job}{place}", markup=False
    )
    for note in rules.notes:
        remarks.print(note, markup=False)
