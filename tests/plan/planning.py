"""Questions for tests of the planner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pilotage.catalog.anatomies import known_anatomy
from pilotage.plan.assumptions import Assumptions
from pilotage.plan.demand import Demand, Lengths
from pilotage.plan.question import STRATEGIES, Question, ask
from pilotage.spec import Deployment, load

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = "Qwen/Qwen2.5-1.5B-Instruct"


def demand(**changes: Any) -> Demand:
    """5 requests a second, chat-like."""
    given: dict[str, Any] = {
        "rate": 5.0,
        "peak": 5.0,
        "shape": "steady",
        "prompt": Lengths(p50=300, p99=900),
        "completion": Lengths(p50=60, p99=150),
        "ttft_p99": 2.0,
    }
    given.update(changes)
    if "rate" in changes and "peak" not in changes:
        given["peak"] = changes["rate"]
    return Demand(**given)


def question(model: str = SMALL, **changes: Any) -> Question:
    """A small model under `demand`, whose changes may be given too."""
    anatomy = known_anatomy(model)
    assert anatomy is not None
    own = {
        name: changes.pop(name)
        for name in ("engine", "dtype", "quantization", "strategies", "market", "seed")
        if name in changes
    }
    length = changes.pop("max_model_len", 4096)
    assumptions = changes.pop("assumptions", Assumptions())
    # What a provider sells needs a second of imports and no test of the search.
    own.setdefault("strategies", tuple(one for one in STRATEGIES if "bedrock" not in one))
    return Question(
        name="test",
        model=model,
        anatomy=anatomy,
        demand=demand(**changes),
        max_model_len=length,
        assumptions=assumptions,
        **own,
    )


def example(name: str, **changes: Any) -> Question:
    """The question of an example's spec."""
    deployment: Deployment = load(EXAMPLES / f"{name}.yaml")
    model = deployment.model.source.removeprefix("hf://")
    anatomy = known_anatomy(model)
    assert anatomy is not None
    return ask(deployment, anatomy, model=model, **changes)
