"""One way to deploy a model, what it would do, what it would cost, and why it would not do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pilotage.plan.precision import Precision
from pilotage.plan.step_model import EngineLimits
from pilotage.plan.terms import Sum

Strategy = Literal[
    "machine",
    "ecs-gpu",
    "ecs-neuron",
    "sagemaker-realtime",
    "sagemaker-async",
    "sagemaker-serverless",
    "bedrock-on-demand",
    "bedrock-provisioned",
    "lambda-bedrock",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What would be deployed.

    Attributes:
        strategy: How it is run.
        instance_type: None where there is none to choose.
        count: Instances, model units, or 1 where the provider scales.
        replicas: Copies of the model over all instances.
        engine: None where the provider runs the model.
        precision: None likewise.
        tensor_parallel: Accelerators that share every layer.
        pipeline_parallel: Groups that share the layers.
        limits: What one replica may hold; None likewise.
        max_count: What autoscaling may grow to at the peak.
    """

    strategy: Strategy
    instance_type: str | None = None
    count: int = 1
    replicas: int = 1
    engine: str | None = None
    precision: Precision | None = None
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    limits: EngineLimits | None = None
    max_count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Percentiles of a latency in seconds, with the interval the simulation gives the last."""

    p50: float
    p90: float
    p99: float
    p99_low: float
    p99_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What it would do at the workload's rate.

    Attributes:
        ttft: Time to first token; None where it is not predicted (no streaming).
        tpot: Time per output token after the first.
        e2e: End to end.
        floor_e2e_s: Seconds of the median request that no software can beat.
        requests_per_s: Highest rate of the whole deployment that keeps the SLO.
        output_tokens_per_s: At the workload's rate.
        utilisation: Share of the capacity in use at the average rate.
        memory: What one accelerator (or machine) holds.
        memory_bytes: What it has.
        relative_error: Stated error by name, as in `pilotage.spec.Predictions`.
    """

    ttft: Latencies | None
    tpot: Latencies | None
    e2e: Latencies | None
    floor_e2e_s: float
    requests_per_s: float
    output_tokens_per_s: float
    utilisation: float
    memory: Sum | None = None
    memory_bytes: int | None = None
    relative_error: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What it would cost.

    Attributes:
        monthly: The terms of a month of 730 hours, US dollars.
        usd_per_request: On average.
        usd_per_million_tokens: Prompt and completion together.
        idle_usd: What of it pays for capacity that stands idle.
    """

    monthly: Sum
    usd_per_request: float
    usd_per_million_tokens: float
    idle_usd: float = 0.0

    @property
    def usd_per_month(self) -> float:
        """US dollars of a month."""
        return self.monthly.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Why an option does not do.

    Attributes:
        limit: What is broken: "memory", "ttft_p99", "payload", "no GPU", "price unknown" …
        message: A sentence with the figures.
        relax: What would have to give, a sentence; empty when nothing would help.
        shortfall: How far off, as a ratio (2.0: twice what is allowed); infinity when it cannot
            be had at all. The nearest miss is the option whose worst shortfall is smallest.
    """

    limit: str
    message: str
    relax: str = ""
    shortfall: float = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A configuration, judged. Feasible when there is no obstacle."""

    configuration: Configuration
    estimate: Estimate | None = None
    cost: Cost | None = None
    obstacles: tuple[Obstacle, ...] = ()

    @property
    def feasible(self) -> bool:
        """Whether it fits, keeps the SLO and stays within the budget."""
        return not self.obstacles
