"""The decision tree that cloud guides teach, walked for a workload.

::

    Does Bedrock sell the model, unchanged?
    ├── yes: Steady above 100 requests a second?
    │        ├── yes: Bedrock provisioned throughput
    │        └── no:  Sporadic?
    │                 ├── yes: Lambda with Bedrock
    │                 └── no:  Bedrock on demand
    └── no:  Does it need a GPU?
             ├── no:  Sporadic?
             │        ├── yes: SageMaker serverless
             │        └── no:  one machine
             └── yes: Sporadic?
                      ├── yes: SageMaker asynchronous
                      └── no:  Steady above 100 requests a second?
                               ├── yes: ECS on GPU instances
                               └── no:  a SageMaker real-time endpoint

It is an explanation, not a judge: it looks at no price, no length and no latency, and the search's
numbers overrule it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pilotage.catalog.anatomy import Anatomy
from pilotage.catalog.prices import bedrock_id
from pilotage.plan.demand import Demand
from pilotage.plan.option import Option, Strategy
from pilotage.plan.result import Answer, DecisionPath
from pilotage.plan.strategies.limits import Circumstances
from pilotage.plan.strategies.sagemaker_serverless import SAGEMAKER_SERVERLESS
from pilotage.plan.strategies.table import STRATEGIES
from pilotage.units import format_rate, format_size, printable

STEADY_RATE: Final = 100.0
"""Requests a second above which the tree calls for capacity of one's own."""

SPORADIC_RATE: Final = 1.0
"""Requests a second below which it calls traffic sporadic; so are peaks of ten times the mean."""

_SPORADIC_PEAK: Final = 10.0


@dataclass(frozen=True, slots=True)
class TreePath:
    """The answers from the root down, and the leaf."""

    answers: tuple[Answer, ...]
    strategy: Strategy


def walk_tree(demand: Demand, anatomy: Anatomy, circumstances: Circumstances) -> TreePath:
    """The tree's answers for a workload and the strategy it would pick."""
    offered, sold = _offered(circumstances)
    steady, steadily = _steady(demand)
    sporadic, rarely = _sporadic(demand)
    gpu, sized = _needs_gpu(anatomy, circumstances)
    strategy: Strategy
    if offered:
        if steady:
            return TreePath((sold, steadily), "bedrock-provisioned")
        strategy = "lambda-bedrock" if sporadic else "bedrock-on-demand"
        return TreePath((sold, steadily, rarely), strategy)
    if not gpu:
        strategy = "sagemaker-serverless" if sporadic else "machine"
        return TreePath((sold, sized, rarely), strategy)
    if sporadic:
        return TreePath((sold, sized, rarely), "sagemaker-async")
    strategy = "ecs-gpu" if steady else "sagemaker-realtime"
    return TreePath((sold, sized, rarely, steadily), strategy)


def judge_tree(path: TreePath, chosen: Option | None, leaf: Option | None = None) -> DecisionPath:
    """Whether the numbers agree with the tree.

    Args:
        path: What the tree says.
        chosen: What the search found; None when nothing does.
        leaf: The best option of the tree's strategy, judged; None when there is none.
    """
    title = STRATEGIES[path.strategy].limits.title
    if chosen is None:
        verdict, overruled = f"the tree says {title}; by the numbers nothing does", True
    elif chosen.configuration.strategy == path.strategy:
        verdict, overruled = f"the numbers agree with the tree: {title}", False
    else:
        better = STRATEGIES[chosen.configuration.strategy].limits.title
        verdict = f"the tree says {title}; the numbers say {better}: {_why(title, chosen, leaf)}"
        overruled = True
    return DecisionPath(
        answers=path.answers, strategy=path.strategy, verdict=verdict, overruled=overruled
    )


def _why(title: str, chosen: Option, leaf: Option | None) -> str:
    if leaf is not None and leaf.obstacles:
        return leaf.obstacles[0].message
    if leaf is not None and leaf.cost is not None and chosen.cost is not None:
        return (
            f"{title} costs ${leaf.cost.usd_per_month:,.0f} a month, "
            f"this ${chosen.cost.usd_per_month:,.0f}"
        )
    return f"{title} was not found feasible"


def _offered(circumstances: Circumstances) -> tuple[bool, Answer]:
    question = "Does Bedrock sell the model, unchanged?"
    if circumstances.custom_weights:
        return False, Answer(question=question, answer="no: the weights are your own")
    found = bedrock_id(circumstances.model)
    if found is None:
        return False, Answer(question=question, answer=f"no: not {printable(circumstances.model)}")
    return True, Answer(question=question, answer=f"yes: {found}")


def _steady(demand: Demand) -> tuple[bool, Answer]:
    steady = demand.rate > STEADY_RATE and demand.shape == "steady"
    return steady, Answer(
        question=f"Steady above {STEADY_RATE:g} requests a second?",
        answer=f"{_yes(steady)}: {demand.shape}, {format_rate(demand.rate, digits=3)}",
    )


def _sporadic(demand: Demand) -> tuple[bool, Answer]:
    rare = demand.rate < SPORADIC_RATE or demand.peak >= _SPORADIC_PEAK * demand.rate
    return rare, Answer(
        question="Sporadic?",
        answer=f"{_yes(rare)}: {format_rate(demand.rate, digits=3)} on average, "
        f"{format_rate(demand.peak, digits=3)} at the peak",
    )


def _needs_gpu(anatomy: Anatomy, circumstances: Circumstances) -> tuple[bool, Answer]:
    weights = circumstances.weights(anatomy)
    held = SAGEMAKER_SERVERLESS.limits.memory_bytes or 0
    needs = weights > held
    than = "more" if needs else "no more"
    return needs, Answer(
        question="Does it need a GPU?",
        answer=f"{_yes(needs)}: weights of {format_size(weights, digits=3)}, {than} than the "
        f"{format_size(held, digits=3)} that serverless functions hold",
    )


def _yes(true: bool) -> str:
    return "yes" if true else "no"
