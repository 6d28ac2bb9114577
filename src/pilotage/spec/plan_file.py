"""The planner's output, ``plan.json``: what was chosen and what it is predicted to do.

::

    {
      "schema": "pilotage.plan/1",
      "name": "receipts",
      "created_at": "2026-11-22T12:00:00Z",
      "pilotage": "0.1.0",
      "deployment": {"strategy": "ecs-gpu", "instance_type": "g6e.2xlarge", "count": 2,
                     "engine": "vllm", "dtype": "fp8", "settings": {"max_num_seqs": 64}},
      "predictions": {"rate": 20, "ttft": {"p50": 0.09, "p99": 0.31},
                      "usd_per_month": 3270, "relative_error": {"ttft": 0.15}}
    }

Plain numbers in base units: seconds, bytes, a second, US dollars. Further keys may stand anywhere
(the planner's reasons and runners-up do) and are kept; what a version's keys mean never changes.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pilotage.errors import SpecError
from pilotage.spec.problems import as_error, find_problems
from pilotage.units import printable

PLAN_SCHEMA: Final = "pilotage.plan/1"
INFEASIBLE_SCHEMA: Final = "pilotage.plan-infeasible/1"

_LARGEST_FILE: Final = 16 * 1024 * 1024

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Part(BaseModel):
    """A part of the file: frozen, strict, and open for further keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", protected_namespaces=())


class Percentiles(_Part):
    """A predicted latency, in seconds.

    Attributes:
        p50: Median, and so on; None where it is not predicted.
    """

    p50: Positive | None = None
    p90: Positive | None = None
    p99: Positive | None = None

    @model_validator(mode="after")
    def _ascending(self) -> Percentiles:
        known = [value for value in (self.p50, self.p90, self.p99) if value is not None]
        if known != sorted(known):
            raise ValueError("p50, p90 and p99 should not fall: each holds more of the requests")
        return self


class PlannedDeployment(_Part):
    """What the planner chose.

    Attributes:
        strategy: How it is run, such as "ecs-gpu", "sagemaker-realtime", "bedrock-on-demand",
            "machine".
        instance_type: Such as "g6e.2xlarge"; None where there is none to choose.
        count: Instances, or replicas where there are no instances.
        engine: Inference engine; None where the provider runs the model.
        dtype: Number format of the weights; None likewise.
        tensor_parallel: Accelerators that a layer is split over.
        pipeline_parallel: Accelerators that the layers are shared out to.
        settings: Of the engine, by its own names.
    """

    strategy: str = Field(min_length=1)
    instance_type: str | None = Field(default=None, min_length=1)
    count: int = Field(default=1, ge=1)
    engine: str | None = Field(default=None, min_length=1)
    dtype: str | None = Field(default=None, min_length=1)
    tensor_parallel: int = Field(default=1, ge=1)
    pipeline_parallel: int = Field(default=1, ge=1)
    settings: dict[str, Any] = Field(default_factory=dict)


class Predictions(_Part):
    """What it is predicted to do; None where the planner says nothing.

    Attributes:
        rate: Requests a second for which the latencies and the output are predicted: the busiest
            minutes'.
        mean_rate: Requests a second on average, which the costs are for; ``rate`` if None.
        ttft: Time to first token.
        tpot: Time per output token after the first.
        e2e: End-to-end latency.
        requests_per_s: Highest rate that keeps the SLO.
        output_tokens_per_s: Output tokens a second at ``rate``.
        memory_bytes: Memory in use on one accelerator, or machine.
        usd_per_month: For 730 hours.
        usd_per_million_tokens: Prompt and completion together, at ``mean_rate``.
        usd_per_request: At ``mean_rate``.
        relative_error: The error that the planner states, by the names here and for one
            percentile "ttft_p99": 0.15 says that 15 % either way are to be expected.
    """

    rate: Positive
    mean_rate: Positive | None = None
    ttft: Percentiles | None = None
    tpot: Percentiles | None = None
    e2e: Percentiles | None = None
    requests_per_s: Positive | None = None
    output_tokens_per_s: Positive | None = None
    memory_bytes: int | None = Field(default=None, gt=0)
    usd_per_month: NotNegative | None = None
    usd_per_million_tokens: NotNegative | None = None
    usd_per_request: NotNegative | None = None
    relative_error: dict[str, NotNegative] = Field(default_factory=dict)


class PlanFile(_Part):
    """A plan, as one step hands it to the next.

    Attributes:
        schema_version: The version of the format; written as ``schema``.
        name: The deployment's.
        created_at: When.
        pilotage: The version that made it.
        deployment: What was chosen.
        predictions: What it is predicted to do.
    """

    schema_version: Literal["pilotage.plan/1"] = Field(default=PLAN_SCHEMA, alias="schema")
    name: str = Field(min_length=1)
    created_at: datetime
    pilotage: str = Field(min_length=1)
    deployment: PlannedDeployment
    predictions: Predictions


def read_plan(path: str | os.PathLike[str]) -> PlanFile:
    """The plan that the file at ``path`` holds.

    Raises:
        SpecError: The file cannot be read, is no plan of this version, or is wrong; then it names
            the field. Several problems come as one :class:`InvalidSpecError`.
    """
    where = printable(str(path))
    text = _read(Path(path), where)
    try:
        data = pydantic_core.from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise SpecError(f"is no valid JSON: {printable(str(error))}", where=where) from None
    _check_schema(data, where)
    try:
        return PlanFile.model_validate_json(text)
    except ValidationError as error:
        raise as_error(
            [problem.error_naming_field(where) for problem in find_problems(error, PlanFile)]
        ) from None


def _check_schema(data: Any, where: str) -> None:
    found = data.get("schema") if isinstance(data, dict) else None
    if found == PLAN_SCHEMA:
        return
    hint = 'Plans are what "pilotage plan SPEC --json" writes'
    if not isinstance(found, str):
        raise SpecError(f'is no plan: it has no "schema": "{PLAN_SCHEMA}"', where=where, hint=hint)
    if found == INFEASIBLE_SCHEMA:
        raise _nothing_fits(data, where)
    shown = printable(found[:60])
    if found.startswith("pilotage.plan/"):
        raise SpecError(
            f'is a plan of another version, "{shown}"; this Pilotage reads "{PLAN_SCHEMA}"',
            where=where,
            hint="Make the plan again, or use the Pilotage that made it",
        )
    raise SpecError(f'is no plan: its schema is "{shown}"', where=where, hint=hint)


def _nothing_fits(data: dict[str, Any], where: str) -> SpecError:
    """What the search said instead of a plan: how the nearest miss fails, and what would help."""
    miss = data.get("nearest_miss")
    miss = miss if isinstance(miss, dict) else {}
    deployment, obstacles = miss.get("deployment"), miss.get("obstacles")
    label = deployment.get("label") if isinstance(deployment, dict) else None
    why = "; ".join(
        str(one["message"])
        for one in (obstacles if isinstance(obstacles, list) else ())
        if isinstance(one, dict) and one.get("message")
    )
    relax = data.get("relax")
    hints = [str(one) for one in relax] if isinstance(relax, list) else []
    message = "is a plan in which nothing fits"
    if why:
        message += f": {f'{label}, the nearest miss, fails: ' if label else ''}{why}"
    hint = "; ".join(hints) or "Relax the SLO, the budget or the workload, and plan again"
    return SpecError(
        printable(message[:600]),
        where=where,
        hint=printable(hint[:1].upper() + hint[1:400]),
    )


def _read(path: Path, where: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        raise SpecError("there is no such file", where=where) from None
    except IsADirectoryError:
        raise SpecError("is a folder, not a plan", where=where) from None
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise SpecError(f"cannot be read: {reason}", where=where) from None
    except ValueError:
        raise SpecError("is no valid file name", where=where[:80]) from None
    if len(data) > _LARGEST_FILE:
        raise SpecError("is larger than 16 MiB; no plan is so large", where=where)
    return data
