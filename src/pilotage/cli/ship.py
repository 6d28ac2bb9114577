"""``pilotage ship``: from spec and plan to a running deployment, and away again."""

from __future__ import annotations

import typer

from pilotage.cli.ship_apply import apply, destroy, diff
from pilotage.cli.ship_cost import cost
from pilotage.cli.ship_dashboards import dashboards
from pilotage.cli.ship_images import images
from pilotage.cli.ship_pipeline import pipeline
from pilotage.cli.ship_render import render
from pilotage.cli.ship_watch import logs, smoke, status

app = typer.Typer(
    name="ship",
    help="Render, apply, watch and destroy a deployment on AWS, Kubernetes or this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("render")(render)
app.command("images")(images)
app.command("dashboards")(dashboards)
app.command("diff")(diff)
app.command("cost")(cost)
app.command("apply")(apply)
app.command("status")(status)
app.command("logs")(logs)
app.command("smoke")(smoke)
app.command("destroy")(destroy)
app.command("pipeline")(pipeline)
