"""The jobs: check, review, canary, its removal, promotion."""

from __future__ import annotations

from typing import Any, Final

from pilotage.ship.pipeline.commands import arguments, ship, told
from pilotage.ship.pipeline.question import Pipeline
from pilotage.ship.pipeline.steps import (
    credentials,
    installed,
    on_failure,
    prepared,
    runs,
    uses,
)
from pilotage.ship.pipeline.text import Job, Step
from pilotage.ship.pipeline.way import Way

CHECK_MINUTES: Final = 20
REVIEW_MINUTES: Final = 30
_REMOVE_S: Final = 4200
_SETUP_S: Final = 600
_SMOKE_S: Final = 1800
_PROVE_S: Final = 2400

_READ: Final = {"contents": "read"}
_OIDC: Final = {"contents": "read", "id-token": "write"}
_BACK: Final = (
    "${{ failure() && steps.apply.outcome != 'skipped' && steps.last.outputs.sha != '' }}"
)
_NO_WAY_BACK: Final = (
    "${{ failure() && steps.apply.outcome != 'skipped' && steps.last.outputs.sha == '' }}"
)


def check(pipeline: Pipeline) -> Job:
    """The spec, what would run, the rules and the price; without any credentials."""
    steps = [
        *prepared(pipeline),
        runs("The spec is right", 'pilotage spec check "$SPEC"'),
    ]
    if pipeline.replan and pipeline.shipment.deployment.workload is not None:
        plan = f"pilotage plan {arguments(pipeline, plan=False)} --region {pipeline.region}"
        steps.append(runs("Something still fits", told("The cheapest plan of today", plan)))
    steps += [
        runs(
            "What is rendered breaks no rule",
            ship(pipeline, "render", '--output "$RUNNER_TEMP/rendered"'),
        ),
        runs("What it costs", told("What a month costs", ship(pipeline, "cost"))),
    ]
    return _job("Check", CHECK_MINUTES, pipeline, steps, permissions=_READ)


def review(pipeline: Pipeline, way: Way) -> Job:
    """What a pull request would change, in its summary, by a role that only reads.

    Forks and Dependabot get no token, so they get no difference either.
    """
    steps = [
        *prepared(pipeline),
        credentials(pipeline, "review", REVIEW_MINUTES),
        *way.ready(pipeline),
        *way.difference(pipeline),
    ]
    own = (
        "${{ github.event_name == 'pull_request' && github.event.pull_request.head.repo.full_name "
        "== github.repository && github.event.pull_request.user.login != 'dependabot[bot]' }}"
    )
    return _job(
        "Show the difference",
        REVIEW_MINUTES,
        pipeline,
        steps,
        permissions=_OIDC,
        environment=f"{pipeline.name}-review",
        needs=["check"],
        when=own,
    )


def canary(pipeline: Pipeline, way: Way) -> Job:
    """The canary comes up, answers, and is held against the SLO."""
    minutes = pipeline.minutes(_SETUP_S, pipeline.change_s(alone=True), _SMOKE_S, _PROVE_S)
    proven = way.prove(pipeline)
    steps = [
        *prepared(pipeline),
        credentials(pipeline, "canary", minutes),
        *way.ready(pipeline),
        *way.change(pipeline, alone=True),
        *way.ask(pipeline, alone=True),
        *({**step, "id": "prove"} for step in proven),
        *(_report() if proven else ()),
    ]
    return _job(
        "Canary",
        minutes,
        pipeline,
        steps,
        permissions=_OIDC,
        environment=f"{pipeline.name}-canary",
        needs=["check"],
        when=_on_branch(pipeline),
    )


def removal(pipeline: Pipeline, way: Way) -> Job:
    """The canary goes away, whatever became of it.

    It is a job of its own, which neither a time-out nor a cancelled run takes along.
    """
    minutes = pipeline.minutes(_SETUP_S, _REMOVE_S)
    steps = [
        *prepared(pipeline),
        credentials(pipeline, "remove", minutes),
        *way.ready(pipeline),
        *way.remove(pipeline),
    ]
    return _job(
        "Take the canary away",
        minutes,
        pipeline,
        steps,
        permissions=_OIDC,
        environment=f"{pipeline.name}-canary",
        needs=["canary"],
        when="${{ always() && needs.canary.result != 'skipped' }}",
    )


def promotion(pipeline: Pipeline, way: Way) -> Job:
    """The real one is changed, once somebody approved; back to the last good commit if it fails."""
    change = [*way.change(pipeline, alone=False), *way.ask(pipeline, alone=False)]
    once = (pipeline.change_s(alone=False), _SMOKE_S)
    steps = [*prepared(pipeline), *([_last_promoted(pipeline)] if way.has_canary else [])]
    minutes = pipeline.minutes(_SETUP_S, *once, *(once if way.has_canary else ()))
    steps += [credentials(pipeline, "promote", minutes), *way.ready(pipeline)]
    if not way.has_canary:
        steps += change
        return _promotion(pipeline, minutes, steps, permissions=_OIDC, needs=["check"])
    steps += [{**step, "timeout-minutes": pipeline.minutes(*once)} for step in change]
    steps += _way_back(pipeline, change)
    return _promotion(
        pipeline,
        minutes,
        steps,
        permissions={**_OIDC, "deployments": "read"},
        needs=["canary", "remove"],
    )


def _promotion(
    pipeline: Pipeline,
    minutes: int,
    steps: list[Step],
    *,
    permissions: dict[str, str],
    needs: list[str],
) -> Job:
    return _job(
        "Promote",
        minutes,
        pipeline,
        steps,
        permissions=permissions,
        environment=pipeline.name,
        needs=needs,
        when=_on_branch(pipeline),
    )


def _last_promoted(pipeline: Pipeline) -> Step:
    """The commit of the environment's last deployment that succeeded; none before the first."""
    script = """\
sha=
deployments="repos/$GITHUB_REPOSITORY/deployments"
ids=$(gh api "$deployments?environment=$ENVIRONMENT&per_page=30" --jq '.[].id')
for id in $ids; do
  good=$(gh api "$deployments/$id/statuses" --jq 'any(.[]; .state == "success")')
  if [ "$good" = true ]; then
    sha=$(gh api "$deployments/$id" --jq .sha)
    break
  fi
done
echo "sha=$sha" >> "$GITHUB_OUTPUT\""""
    env = {"GH_TOKEN": "${{ github.token }}", "ENVIRONMENT": pipeline.name}
    return runs("Find what was promoted last", script, id="last", env=env)


def _way_back(pipeline: Pipeline, change: list[Step]) -> list[Step]:
    """The same change, of the commit that was promoted last."""
    checkout = uses(
        "actions/checkout",
        "Back: check out what was promoted last",
        {
            "ref": "${{ steps.last.outputs.sha }}",
            "path": "previous",
            "persist-credentials": False,
        },
    )
    env = {"SPEC": f"previous/{pipeline.spec}"}
    if pipeline.plan is not None:
        env["PLAN"] = f"previous/{pipeline.plan}"
    steps: list[Step] = [{**checkout, "if": _BACK}]
    if pipeline.requirements is not None:
        there = {"REQUIREMENTS": f"previous/{pipeline.requirements}"}
        steps += on_failure([installed(pipeline)], condition=_BACK, env=there, prefix="Back: ")
    steps += on_failure(change, condition=_BACK, env=env, prefix="Back: ")
    nothing = "echo '::error::Nothing was promoted before: what runs now is as the steps left it'"
    steps.append(runs("There is no way back", nothing, when=_NO_WAY_BACK))
    return steps


def _report() -> list[Step]:
    there = "${{ !cancelled() && steps.prove.outcome != 'skipped' }}"
    show = 'cat "$RUNNER_TEMP/prove/report.md" >> "$GITHUB_STEP_SUMMARY"'
    keep = uses(
        "actions/upload-artifact",
        "Keep the proof",
        {
            "name": "proof",
            "path": "${{ runner.temp }}/prove",
            "if-no-files-found": "ignore",
            "retention-days": 30,
        },
    )
    return [runs("Show the proof", show, when=there), {**keep, "if": there}]


def _on_branch(pipeline: Pipeline) -> str:
    return (
        "${{ github.event_name != 'pull_request' "
        f"&& github.ref == 'refs/heads/{pipeline.branch}' }}}}"
    )


def _job(
    name: str,
    minutes: int,
    pipeline: Pipeline,
    steps: list[Step],
    *,
    permissions: dict[str, str],
    environment: str | None = None,
    needs: list[str] | None = None,
    when: str | None = None,
) -> Job:
    head: dict[str, Any] = {"name": name}
    head |= {"needs": needs} if needs else {}
    head |= {"if": when} if when else {}
    head |= {"runs-on": pipeline.runner, "timeout-minutes": minutes}
    head |= {"environment": environment} if environment else {}
    return {**head, "permissions": permissions, "steps": steps}
