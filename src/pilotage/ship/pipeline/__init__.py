"""A GitHub Actions workflow for a deployment: checked, tried beside itself, promoted, or undone."""

from pilotage.ship.pipeline.actions import Action, load_actions
from pilotage.ship.pipeline.canary import SUFFIX, canary
from pilotage.ship.pipeline.file import write_workflow
from pilotage.ship.pipeline.manifests import kinds, service_port
from pilotage.ship.pipeline.paths import in_repository, repository
from pilotage.ship.pipeline.question import RUNNER, Pipeline, check, check_target
from pilotage.ship.pipeline.workflow import workflow

__all__ = [
    "RUNNER",
    "SUFFIX",
    "Action",
    "Pipeline",
    "canary",
    "check",
    "check_target",
    "in_repository",
    "kinds",
    "load_actions",
    "repository",
    "service_port",
    "workflow",
    "write_workflow",
]
