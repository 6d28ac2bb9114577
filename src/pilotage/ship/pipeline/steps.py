"""Steps that jobs share: code, Python, Pilotage, credentials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pilotage import __version__
from pilotage.ship.pipeline.actions import load_actions
from pilotage.ship.pipeline.question import Pipeline
from pilotage.ship.pipeline.text import Step

PYTHON: Final = "3.12"
KEY: Final = {"PILOTAGE_API_KEY": "${{ secrets.PILOTAGE_API_KEY }}"}
"""Where a step asks the model. Only those steps see it."""

_LONGEST_SESSION_NAME: Final = 64


def uses(action: str, name: str, values: Mapping[str, Any] | None = None) -> Step:
    """A step that runs an action.

    Args:
        action: Of `actions.json`.
        name: For people.
        values: Its inputs.
    """
    step: Step = {"name": name, "uses": load_actions()[action].pinned}
    if values:
        step["with"] = dict(values)
    return step


def runs(name: str, script: str, *, env: Mapping[str, str] | None = None, **more: Any) -> Step:
    """A step that runs a script.

    Args:
        name: For people.
        script: For bash, which ends at the first command that fails.
        env: Its variables.
        **more: Further keys of the step; ``when`` is ``if``, underscores are hyphens.
    """
    step: Step = {"name": name}
    step |= {{"when": "if"}.get(key, key.replace("_", "-")): value for key, value in more.items()}
    if env:
        step["env"] = dict(env)
    return {**step, "run": f"{script}\n"}


def prepared(pipeline: Pipeline) -> list[Step]:
    """The repository, Python and Pilotage."""
    return [
        uses("actions/checkout", "Check out", {"persist-credentials": False}),
        uses("actions/setup-python", "Python", {"python-version": PYTHON}),
        installed(pipeline),
    ]


def installed(pipeline: Pipeline, *, name: str = "Install Pilotage") -> Step:
    """Pilotage, from the locked requirements where there are some."""
    pip = "python -m pip install --disable-pip-version-check --only-binary :all:"
    if pipeline.requirements is not None:
        return runs(name, f'{pip} --require-hashes --requirement "$REQUIREMENTS"')
    return runs(name, f"{pip} 'pilotage[aws]=={__version__}'")


def credentials(pipeline: Pipeline, job: str, minutes: int) -> Step:
    """Short-lived credentials of AWS, for the token that GitHub signs for this job.

    Args:
        pipeline: What the workflow is for.
        job: That has them.
        minutes: The job's time-out: they hold as long.
    """
    values: dict[str, Any] = {
        "role-to-assume": "${{ vars.AWS_ROLE_ARN }}",
        "aws-region": pipeline.region,
        "role-duration-seconds": pipeline.session_s(minutes),
        "role-session-name": f"{pipeline.name}-{job}"[:_LONGEST_SESSION_NAME],
    }
    if pipeline.shipment.shipping.account is not None:
        values["allowed-account-ids"] = pipeline.shipment.shipping.account
    return uses("aws-actions/configure-aws-credentials", "AWS credentials, by OIDC", values)


def on_failure(
    steps: Iterable[Step], *, condition: str, env: Mapping[str, str], prefix: str
) -> list[Step]:
    """The same steps, for another state of the repository and only when something failed.

    Args:
        steps: That are done again.
        condition: When.
        env: In place of the workflow's variables.
        prefix: Of their names.
    """
    again = []
    for step in steps:
        head = {"name": f"{prefix}{step['name'].lower()}", "if": condition}
        rest = {key: value for key, value in step.items() if key not in ("name", "id", "env")}
        again.append({**head, "env": {**step.get("env", {}), **env}, **rest})
    return again
