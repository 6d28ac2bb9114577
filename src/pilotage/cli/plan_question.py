"""From a spec and flags to the questions that a plan answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilotage.cli.fetch import from_environment
from pilotage.cli.flags import Overrides, apply_overrides
from pilotage.errors import SpecError, UsageError
from pilotage.spec import Deployment, Portfolio, load_file
from pilotage.units import parse_count, printable

if TYPE_CHECKING:
    from pilotage.plan.question import Question

_SPEC_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class WorkloadFlags:
    """Flags that stand for a spec's workload, as they were typed.

    Attributes:
        rate: Requests a second.
        peak: In the busiest minutes.
        shape: steady, spiky or batch.
        prompt_tokens: ``p50:p99``, or one number.
        completion_tokens: Likewise.
        images: ``WIDTHxHEIGHT``, of one image.
    """

    rate: str | None = None
    peak: str | None = None
    shape: str | None = None
    prompt_tokens: str | None = None
    completion_tokens: str | None = None
    images: str | None = None

    def over(self, deployment: Deployment) -> Deployment:
        """The deployment with these in place of its own.

        Raises:
            UsageError: A value cannot be read.
            SpecError: Values contradict one another.
        """
        workload = deployment.workload
        found: dict[str, Any] = workload.model_dump(exclude_unset=True) if workload else {}
        if self.rate or self.peak or self.shape:
            arrivals = dict(found.get("arrivals") or {})
            if self.rate:
                # A peak that was given for another rate says nothing about this one.
                arrivals = {"rate": self.rate, "shape": arrivals.get("shape", "steady")}
            arrivals |= {"peak": self.peak} if self.peak else {}
            arrivals |= {"shape": self.shape} if self.shape else {}
            if "rate" not in arrivals:
                raise UsageError("a peak or shape needs a rate", where="--rate")
            found["arrivals"] = arrivals
        for name, text in (
            ("prompt_tokens", self.prompt_tokens),
            ("completion_tokens", self.completion_tokens),
        ):
            if text:
                found[name] = tokens(text, "--" + name.replace("_", "-"))
        if self.images:
            found["images"] = image(self.images)
        if not found:
            return deployment
        if "arrivals" not in found:
            raise UsageError("lengths need a rate, too", where="--rate", hint="Pass --rate 5/s")
        try:
            return apply_overrides(deployment, {"workload": found})
        except SpecError as error:
            # The spec's section is "arrivals"; its flags are --rate, --peak and --shape.
            if error.where == "--arrivals":
                error.where = "--rate"
            raise


def tokens(text: str, flag: str) -> dict[str, int]:
    """``200:900`` as p50 and p99; one number as both.

    Raises:
        UsageError: It is neither.
    """
    first, _, last = text.partition(":")
    try:
        p50 = parse_count(first)
        return {"p50": p50, "p99": parse_count(last) if last else p50}
    except UsageError as error:
        raise UsageError(error.message, where=flag, hint="Write p50:p99, such as 200:900") from None


def image(text: str) -> dict[str, int]:
    """``512x512`` as width and height of one image.

    Raises:
        UsageError: It is no such pair.
    """
    width, mark, height = text.lower().partition("x")
    if not (mark and width.isdigit() and height.isdigit()):
        raise UsageError(
            f'"{printable(text[:40])}" is no size of an image',
            where="--images",
            hint="Write WIDTHxHEIGHT, such as 512x512",
        )
    return {"width": int(width), "height": int(height)}


@dataclass(frozen=True)
class Wanted:
    """What is to be planned.

    Attributes:
        name: Of the portfolio, or of the deployment.
        deployments: With all flags applied.
        portfolio: The spec, if it is one.
        file: The spec's file.
    """

    name: str
    deployments: tuple[Deployment, ...]
    portfolio: Portfolio | None
    file: Path | None


def wanted(
    target: str | None,
    only: str | None,
    overrides: Overrides,
    workload: WorkloadFlags,
) -> Wanted:
    """The deployments that a command line asks for.

    Raises:
        SpecError: The spec is wrong, or has no deployment of that name.
        UsageError: A flag is wrong.
    """
    if target is None or not target.endswith(_SPEC_SUFFIXES):
        if only is not None:
            raise UsageError("there is no portfolio to choose from", where="--deployment")
        changed: Overrides = {"model": {"source": target}} if target else {}
        deployment = apply_overrides(apply_overrides(Deployment(), changed), overrides)
        return Wanted(deployment.name, (workload.over(deployment),), None, None)
    file = Path(target)
    spec = load_file(file)
    if isinstance(spec, Deployment):
        if only is not None and only != spec.name:
            raise SpecError(f'its only deployment is "{spec.name}"', where=str(file))
        deployment = from_environment(spec)
        found = workload.over(apply_overrides(deployment, overrides))
        return Wanted(found.name, (found,), None, file)
    if only is not None:
        chosen = [one for one in spec.deployments if one.name == only]
        if not chosen:
            raise SpecError(
                f'has no deployment "{printable(only[:60])}"',
                where=str(file),
                hint=f"It has {', '.join(spec.names)}",
            )
        found = workload.over(apply_overrides(chosen[0], overrides))
        return Wanted(found.name, (found,), None, file)
    all_of = tuple(workload.over(apply_overrides(one, overrides)) for one in spec.deployments)
    return Wanted(file.stem, all_of, spec, file)


def config_of(deployment: Deployment, given: Sequence[str], file: Path | None) -> str | None:
    """The config that stands for a deployment's model: a flag's, or a file beside the spec.

    ``--config FILE`` is for a single deployment, ``--config DEPLOYMENT=FILE`` for one of several.
    Of a spec in ``folder/spec.yaml`` the file ``folder/DEPLOYMENT.config.json`` is taken, if it is
    there.
    """
    for one in given:
        name, mark, value = one.partition("=")
        if mark and name == deployment.name:
            return value
        if not mark:
            return one
    if file is not None:
        beside = file.parent / f"{deployment.name}.config.json"
        if beside.is_file():
            return str(beside)
    return None


def under_trace(question: Question, path: Path) -> Question:
    """The question with a recorded trace's rate, peak and lengths, and the trace to replay.

    The peak is its busiest minute.

    Raises:
        UsageError: It is too short to say.
    """
    from pilotage.plan.replay import recording  # noqa: PLC0415  needs NumPy
    from pilotage.plan.trace import recorded  # noqa: PLC0415  likewise
    from pilotage.prove.arrivals.trace_file import read_trace  # noqa: PLC0415  likewise

    trace = read_trace(path)
    found = recorded(trace.times_s, trace.prompt_tokens, trace.completion_tokens, where=str(path))
    return dataclasses.replace(
        question,
        demand=dataclasses.replace(
            question.demand,
            rate=found.rate,
            peak=found.peak,
            shape=found.shape,
            prompt=found.prompt,
            completion=found.completion,
        ),
        recording=recording(
            trace.times_s,
            trace.prompt_tokens,
            trace.completion_tokens,
            peak=found.peak,
            name=trace.name,
        ),
    )
