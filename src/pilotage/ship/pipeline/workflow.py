"""The whole workflow: a head that says what it needs, then the jobs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any, Final

from pilotage.ship.pipeline import jobs
from pilotage.ship.pipeline.paths import literal
from pilotage.ship.pipeline.question import Pipeline
from pilotage.ship.pipeline.text import as_text
from pilotage.ship.pipeline.way import Way
from pilotage.ship.pipeline.ways import WAYS
from pilotage.ship.targets.kubernetes.names import object_name

_WIDTH: Final = 98


def workflow(pipeline: Pipeline, file: str) -> str:
    """The workflow's text.

    Args:
        pipeline: What it is for; `pilotage.ship.pipeline.check` has passed it.
        file: Its own path in the repository: a change of it runs it, too.
    """
    way = WAYS[pipeline.shipment.target]
    head = "\n".join(f"# {line}".rstrip() for line in _needs(pipeline, way))
    return f"{head}\n{as_text(_whole(pipeline, way, file))}"


def _whole(pipeline: Pipeline, way: Way, file: str) -> dict[str, Any]:
    named = (pipeline.spec, pipeline.plan, pipeline.requirements, *pipeline.others, file)
    paths = [literal(one) for one in dict.fromkeys(named) if one is not None]
    env = {"SPEC": pipeline.spec, "PLAN": pipeline.plan, "DEPLOYMENT": pipeline.deployment}
    env["REQUIREMENTS"] = pipeline.requirements
    made = {"check": jobs.check(pipeline), "review": jobs.review(pipeline, way)}
    if way.has_canary:
        made["canary"] = jobs.canary(pipeline, way)
        made["remove"] = jobs.removal(pipeline, way)
    made["promote"] = jobs.promotion(pipeline, way)
    on_branch = "github.event_name == 'pull_request' && github.ref || 'deploy'"
    return {
        "name": f"Ship {pipeline.name}",
        "on": {
            "pull_request": {"paths": paths},
            "push": {"branches": [pipeline.branch], "paths": paths},
            "workflow_dispatch": {},
        },
        "permissions": {},
        # A deployment is never cut off by the next one, which waits; a review is.
        "concurrency": {
            "group": f"pilotage-{pipeline.name}-${{{{ {on_branch} }}}}",
            "cancel-in-progress": "${{ github.event_name == 'pull_request' }}",
        },
        "env": {key: value for key, value in env.items() if value is not None},
        "defaults": {"run": {"shell": "bash"}},
        "jobs": made,
    }


def _needs(pipeline: Pipeline, way: Way) -> Iterator[str]:
    """The head's lines: what happens, and what has to be set up once."""
    name = pipeline.name
    deploying = [f"{name}-canary", name] if way.has_canary else [name]
    yield from _wrapped(_story(pipeline, way))
    yield ""
    yield "Once, in the repository's settings:"
    review = f"environment {name}-review: the role of its AWS_ROLE_ARN only reads"
    if pipeline.target not in ("kubernetes", "kserve", "terraform"):
        review += ", and makes and deletes change sets"
    yield from _wrapped(review, bullet=True)
    for one in deploying:
        who = ", and required reviewers" if one == name else ""
        yield from _wrapped(
            f"environment {one}: deployment branches {pipeline.branch} only{who}; the role of its "
            "AWS_ROLE_ARN deploys",
            bullet=True,
        )
    yield from _wrapped(
        "each role trusts GitHub's OIDC provider for its own environment alone: audience "
        "sts.amazonaws.com, subject repo:OWNER/REPOSITORY:environment:ENVIRONMENT; its longest "
        "session is as long as role-duration-seconds below",
        bullet=True,
    )
    for variable, what in way.variables(pipeline):
        yield from _wrapped(f"variable {variable} of each environment: {what}", bullet=True)
    if way.has_key:
        yield from _wrapped(
            f"secret PILOTAGE_API_KEY of {' and '.join(deploying)}: an API key of the deployment",
            bullet=True,
        )
    if pipeline.target == "kubernetes" or "InferenceService" in pipeline.kinds:
        cut = object_name(pipeline.shipment) + "-canary"
        yield from _wrapped(
            f"in the cluster the Secrets that the rendered README.md names, for {cut} as well",
            bullet=True,
        )
    if pipeline.target == "lambda-bedrock":
        yield from _wrapped(
            "the bucket for packages, as the rendered README.md says: both roles put objects there",
            bullet=True,
        )


def _story(pipeline: Pipeline, way: Way) -> str:
    if not way.has_canary:
        return (
            f"A pull request shows what would be bought, and its price. On {pipeline.branch} it is "
            "bought once somebody approved it: there is no canary, which would buy as much, and "
            "no way back but giving the units up."
        )
    proof = "proven against the SLO" if way.prove(pipeline) else "asked, not load-tested"
    return (
        f"A pull request shows the plan, the difference and the price in its summary. On "
        f"{pipeline.branch} the spec runs beside itself first, as {pipeline.released(alone=True)} "
        f"with one replica, which is {proof} and taken away again. Then the real one is changed, "
        "once somebody approved it, and asked. If that fails, the spec of the last commit that was "
        "promoted is applied again."
    )


def _wrapped(text: str, *, bullet: bool = False) -> Iterator[str]:
    yield from textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="- " if bullet else "",
        subsequent_indent="  " if bullet else "",
        break_long_words=False,
        break_on_hyphens=False,
    )
