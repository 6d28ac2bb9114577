"""What a search found: the value that every view of a plan draws.

::

    Plan
    ├── model        ModelFacts         what is deployed
    ├── demand       Demand             what is asked of it
    ├── chosen       Option | None      the cheapest that does; None when nothing does
    ├── runners_up   Option…            others that do, by cost
    ├── infeasible   Option…            the best of each strategy that does not, with obstacles
    ├── tree         DecisionPath       what the well-known decision tree would have said
    ├── pareto       ParetoPoint…       cost against latency, of everything judged
    ├── sensitivity  SensitivityRow…    the plan at other loads and lengths
    ├── curves       Curve…             simulated latency distributions of the chosen option
    ├── errors       StatedError…       how far off the figures may be, and how that is known
    └── notes        Note…              assumptions, and the dates of prices

`pilotage.plan.report` holds the views: `to_plan_file` (JSON), a terminal page, an HTML page.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pilotage.catalog.anatomy import Anatomy
from pilotage.plan.demand import Demand
from pilotage.plan.option import Obstacle, Option, Strategy

Metric = Literal["ttft", "tpot", "e2e"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The model, as a reader of a plan wants to see it.

    Attributes:
        name: As it was asked for.
        family: Its ``model_type``.
        parameters: All weights.
        active_parameters: What one text token passes through.
        layers: Transformer blocks of the text part.
        context_length: Longest sequence the model was trained for, in tokens.
        max_model_len: Longest sequence that is planned for.
        stored: How the weights are stored, such as "bf16"; empty when unknown.
        sees: Whether it takes images.
        encoder: Whether it reads only.
    """

    name: str
    family: str
    parameters: int
    active_parameters: int
    layers: int
    context_length: int
    max_model_len: int
    stored: str = ""
    sees: bool = False
    encoder: bool = False

    @classmethod
    def of(cls, anatomy: Anatomy, max_model_len: int | None = None) -> ModelFacts:
        """The facts of an anatomy; planned for its whole context unless said otherwise."""
        return cls(
            name=anatomy.name,
            family=anatomy.family,
            parameters=anatomy.parameters,
            active_parameters=anatomy.active_parameters,
            layers=sum(group.count for group in anatomy.layers),
            context_length=anatomy.context_length,
            max_model_len=max_model_len or anatomy.context_length,
            stored=anatomy.stored.name if anatomy.stored else "",
            sees=anatomy.vision is not None,
            encoder=anatomy.encoder,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A question of the decision tree and this workload's answer, such as "no: 20 a second"."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionPath:
    """What the well-known decision tree says, and whether the numbers agree.

    Attributes:
        answers: From the root down.
        strategy: The leaf.
        verdict: A sentence: why the numbers agree with it, or overrule it.
        overruled: Whether the chosen strategy is another one.
    """

    answers: tuple[Answer, ...]
    strategy: Strategy
    verdict: str
    overruled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoPoint:
    """One judged option in the plane of cost and latency.

    Attributes:
        label: What it is: such as "g6e.xlarge, fp8".
        strategy: How it is run.
        usd_per_month: Dollars of 730 hours.
        e2e_p99_s: Its end-to-end latency at p99, seconds.
        feasible: Whether it keeps every promise.
        chosen: Whether it is the plan.
    """

    label: str
    strategy: Strategy
    usd_per_month: float
    e2e_p99_s: float
    feasible: bool
    chosen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityRow:
    """What becomes of the plan when the workload is another one.

    Attributes:
        of: What is changed: the request rate ("load"), or all token counts ("length").
        factor: By how much; 1.0 is the plan itself.
        usd_per_month: Cost of the cheapest option then; None when nothing does.
        ttft_p99_s: Its time to first token, seconds; None when not predicted.
        e2e_p99_s: Its end-to-end latency.
        label: What it would be; why nothing does, when nothing does.
        feasible: Whether anything does.
        held_e2e_p99_s: Latency of the plan itself, left as it is, under the changed workload; None
            when it would be overloaded.
        held_feasible: Whether the plan itself would still keep its promises.
    """

    of: Literal["load", "length"]
    factor: float
    usd_per_month: float | None
    ttft_p99_s: float | None
    e2e_p99_s: float | None
    label: str
    feasible: bool
    held_e2e_p99_s: float | None = None
    held_feasible: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A simulated latency distribution: (seconds, share of requests within them), rising."""

    metric: Metric
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedError:
    """How far off a prediction may be.

    Attributes:
        name: As in `pilotage.spec.Predictions.relative_error`: "ttft", "e2e", "memory_bytes" …
        relative: 0.12 says 12 % either way.
        measured_on: What the error was measured on, which was left out of the fit.
    """

    name: str
    relative: float
    measured_on: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """An assumption or a fact the plan rests on, with its source and date where it has one."""

    text: str
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the search found for one deployment. See the module's picture.

    Attributes:
        name: The deployment's.
        created_at: When, with a time zone.
        pilotage: The version that made it.
        region: Of the prices; empty where nothing is rented.
        considered: Options that were judged, infeasible ones included.
        seconds: What the search took.
    """

    name: str
    created_at: datetime
    pilotage: str
    model: ModelFacts
    demand: Demand
    chosen: Option | None
    runners_up: tuple[Option, ...] = ()
    infeasible: tuple[Option, ...] = ()
    tree: DecisionPath | None = None
    pareto: tuple[ParetoPoint, ...] = ()
    sensitivity: tuple[SensitivityRow, ...] = ()
    curves: tuple[Curve, ...] = ()
    errors: tuple[StatedError, ...] = ()
    notes: tuple[Note, ...] = ()
    region: str = ""
    considered: int = 0
    seconds: float | None = None

    @property
    def feasible(self) -> bool:
        """Whether anything does."""
        return self.chosen is not None

    @property
    def nearest_miss(self) -> Option | None:
        """Of the infeasible ones, the option with the smallest `worst_shortfall`.

        Those that were judged in whole come first: of one that already fails by its memory nobody
        knows what else it would break. The cheaper of two alike. None when all that failed failed
        for good: for those no figure says how near they are.
        """
        near = [one for one in self.infeasible if math.isfinite(worst_shortfall(one))]
        return min(
            near,
            key=lambda one: (one.estimate is None, worst_shortfall(one), _usd(one)),
            default=None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioPlan:
    """Several deployments under one budget.

    Attributes:
        name: Of the portfolio, such as its file's.
        created_at: When.
        pilotage: The version that made it.
        plans: One a deployment, in the order of the spec.
        usd_per_month: The budget; None without one.
        relax: What would have to give if it does not fit, a sentence each, the cheapest to give
            first; empty when it fits.
    """

    name: str
    created_at: datetime
    pilotage: str
    plans: tuple[Plan, ...]
    usd_per_month: float | None = None
    relax: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        """Dollars a month of the deployments that have a feasible option."""
        return sum(_usd(plan.chosen) for plan in self.plans if plan.chosen and plan.chosen.cost)

    @property
    def complete(self) -> bool:
        """Whether every deployment has a feasible option."""
        return all(plan.feasible for plan in self.plans)

    @property
    def fits(self) -> bool:
        """Whether all are feasible and together within the budget."""
        within = self.usd_per_month is None or self.total <= self.usd_per_month
        return self.complete and within

    def share(self, plan: Plan) -> float | None:
        """Part of the budget (of the total, without one) that a deployment takes; 0.25 is 25 %."""
        whole = self.usd_per_month or self.total
        if not whole or plan.chosen is None or plan.chosen.cost is None:
            return None
        return plan.chosen.cost.usd_per_month / whole


def worst_shortfall(option: Option) -> float:
    """How far the option is off where it is furthest off; 1.0 when nothing is in its way."""
    return max((obstacle.shortfall for obstacle in option.obstacles), default=1.0)


def worst_obstacle(option: Option) -> Obstacle | None:
    """What is furthest off."""
    return max(option.obstacles, key=lambda obstacle: obstacle.shortfall, default=None)


def _usd(option: Option) -> float:
    return option.cost.usd_per_month if option.cost else math.inf
