"""``pilotage route``: fit, try and account for routing policies."""

from __future__ import annotations

import typer

from pilotage.cli.route_calibrate import calibrate_command
from pilotage.cli.route_evaluate import evaluate
from pilotage.cli.route_report import report_command

app = typer.Typer(
    name="route",
    help="Choose among tiers of models: calibrate on your data, evaluate, and see what was spent.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("calibrate")(calibrate_command)
app.command("evaluate")(evaluate)
app.command("report")(report_command)
