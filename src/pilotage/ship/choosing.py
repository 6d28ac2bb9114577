"""Which platform a deployment goes to, and whether that platform can run what was planned."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pilotage.errors import UsageError
from pilotage.spec import Deployment
from pilotage.spec.plan_file import PlanFile
from pilotage.spec.shipping import TargetName

TARGET_OF_STRATEGY: Final[Mapping[str, TargetName]] = MappingProxyType(
    {
        "ecs-gpu": "ecs",
        "ecs-neuron": "ecs",
        "sagemaker-realtime": "sagemaker",
        "sagemaker-async": "sagemaker-async",
        "bedrock-provisioned": "bedrock-provisioned",
        "bedrock-on-demand": "lambda-bedrock",
        "lambda-bedrock": "lambda-bedrock",
        "machine": "local",
    }
)
"""Where a plan's strategy runs unless a target is named."""

_ON_EC2: Final = ("ecs-gpu", "ecs-neuron")
STRATEGIES_OF_TARGET: Final[Mapping[TargetName, tuple[str, ...]]] = MappingProxyType(
    {
        **dict.fromkeys(("ecs", "terraform", "kubernetes", "kserve"), _ON_EC2),
        "sagemaker": ("sagemaker-realtime",),
        "sagemaker-async": ("sagemaker-async",),
        "bedrock-provisioned": ("bedrock-provisioned",),
        "lambda-bedrock": ("bedrock-on-demand", "lambda-bedrock"),
        "local": ("machine",),
    }
)
"""What to plan for a target that is settled. Instances of a cluster are billed as those of ECS."""

ON_INSTANCES: Final[frozenset[TargetName]] = frozenset(
    {"ecs", "terraform", "kubernetes", "kserve", "sagemaker", "sagemaker-async"}
)
"""Targets whose containers run on instances of a type."""

PROVIDED: Final[frozenset[TargetName]] = frozenset({"lambda-bedrock", "bedrock-provisioned"})
"""Targets where the provider runs the model."""


def choose_target(
    deployment: Deployment, plan: PlanFile | None, *, target: TargetName | None = None
) -> TargetName:
    """The target: as asked for, else the spec's, else that of the plan's strategy.

    Raises:
        UsageError: None of them says one, or the target cannot run what was planned.
    """
    named = target or (deployment.shipping.target if deployment.shipping else None)
    chosen = named or _of_plan(plan)
    if plan is not None:
        _check(chosen, plan)
    elif chosen in ON_INSTANCES:
        raise UsageError(
            f"the target {chosen} needs a plan, which says how many instances of which type",
            where="--plan",
            hint='Make one with "pilotage plan SPEC --output plan.json" and pass --plan plan.json',
        )
    return chosen


def _of_plan(plan: PlanFile | None) -> TargetName:
    if plan is None:
        raise UsageError(
            "nothing says where to ship to",
            where="shipping.target",
            hint="Pass --target, or a plan, whose strategy says it",
        )
    strategy = plan.deployment.strategy
    if strategy not in TARGET_OF_STRATEGY:
        raise UsageError(
            f"no target runs the plan's strategy {strategy} as it is",
            where="plan: deployment.strategy",
            hint=f"Name a target, or plan one of {', '.join(TARGET_OF_STRATEGY)}",
        )
    return TARGET_OF_STRATEGY[strategy]


def _check(target: TargetName, plan: PlanFile) -> None:
    strategy, instance = plan.deployment.strategy, plan.deployment.instance_type
    provided = strategy.startswith(("bedrock", "lambda"))
    if target in PROVIDED and not provided:
        raise UsageError(
            f"the plan chose {strategy}, whose model runs on hardware of one's own; "
            f"{target} has only the provider's models",
            where="shipping.target",
            hint=f"Ship to {TARGET_OF_STRATEGY.get(strategy, 'ecs')}, or plan with "
            "--strategy bedrock-on-demand",
        )
    if target == "bedrock-provisioned" and strategy != "bedrock-provisioned":
        raise UsageError(
            f"the plan chose {strategy} and counts no model units",
            where="shipping.target",
            hint="Plan with --strategy bedrock-provisioned",
        )
    if target in ON_INSTANCES and instance is None:
        raise UsageError(
            f"the plan chose {strategy} and no instance type, and {target} runs on instances",
            where="shipping.target",
            hint=f"Ship to {TARGET_OF_STRATEGY.get(strategy, 'local')}, or plan with "
            "--strategy ecs-gpu",
        )
    if target == "local" and (provided or strategy != "machine"):
        raise UsageError(
            f"the plan chose {strategy}, which is not this machine",
            where="shipping.target",
            hint="Ship locally without a plan, or with one of --strategy machine",
        )
