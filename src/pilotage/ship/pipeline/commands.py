"""The commands that the steps run.

What comes from outside (paths, names, addresses, keys) stands in environment variables that bash
expands within quotes: nothing of it is ever part of a script.
"""

from __future__ import annotations

from typing import Final

from pilotage.ship.pipeline.question import Pipeline

COMPLETIONS: Final = 20
"""Of a smoke test: were one replica of three broken, all would miss it once in 3,000 ((2/3)^20)."""

ADDRESS: Final = """python -c 'import json, sys; print(json.load(sys.stdin)["address"] or "")'"""

_INDENTED: Final = "sed 's/^/    /'"


def arguments(pipeline: Pipeline, *, plan: bool = True) -> str:
    """Spec, deployment and plan, as every verb takes them.

    Args:
        pipeline: What the workflow is for.
        plan: Whether the verb takes a plan.
    """
    parts = ['"$SPEC"']
    if pipeline.deployment is not None:
        parts.append('--deployment "$DEPLOYMENT"')
    if plan and pipeline.plan is not None:
        parts.append('--plan "$PLAN"')
    return " ".join(parts)


def ship(pipeline: Pipeline, verb: str, *flags: str, alone: bool = False) -> str:
    """A verb of ``pilotage ship``.

    Args:
        pipeline: What the workflow is for.
        verb: Such as "apply".
        *flags: Further words of the command.
        alone: Of the canary.
    """
    words = ["pilotage ship", verb, arguments(pipeline), "--target", pipeline.target]
    return " ".join([*words, *(["--canary"] if alone else []), *flags])


def proof(pipeline: Pipeline, *, url: str) -> str:
    """A load test with the canary's share of the load; it fails where the SLO is missed.

    The prompts are made without the model's tokenizer, which would be fetched with the weights.

    Args:
        pipeline: What the workflow is for.
        url: The shell's word for the address.
    """
    words = ["pilotage prove", arguments(pipeline, plan=False), f"--url {url}"]
    if pipeline.rate is None:
        words.append("--concurrency 2 --requests 200")
    else:
        words.append(f"--rate {pipeline.rate:.4g}/s --duration 10m")
    if pipeline.promised:
        words.append("--fail-on missed")
    return " ".join([*words, '--wait 5m --tokenizer none --out "$RUNNER_TEMP/prove"'])


def told(title: str, command: str) -> str:
    """A command whose output is shown in the job's summary.

    Each line is indented, so that the summary shows it as it is, whatever it holds.
    """
    return "\n".join(
        (
            f'{command} | tee "$RUNNER_TEMP/told"',
            "{",
            f"  printf '### %s\\n\\n' '{title}'",
            f'  {_INDENTED} "$RUNNER_TEMP/told"',
            '} >> "$GITHUB_STEP_SUMMARY"',
        )
    )
