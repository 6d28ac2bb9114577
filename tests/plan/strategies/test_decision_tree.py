"""The decision tree, and numbers that overrule it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from strategy_shapes import CHAT, LLAMA, model

from pilotage.plan.demand import Demand
from pilotage.plan.option import Configuration, Cost, Obstacle, Option, Strategy
from pilotage.plan.strategies import Circumstances, judge_tree, walk_tree
from pilotage.plan.terms import Sum, Term

STEADY = replace(CHAT, rate=500, peak=500, shape="steady")
SPORADIC = replace(CHAT, rate=0.1, peak=0.5)
CUSTOM = Circumstances(model=LLAMA, custom_weights=True)


@pytest.mark.parametrize(
    ("demand", "circumstances", "parameters", "leaf"),
    [
        (STEADY, Circumstances(model=LLAMA), 8, "bedrock-provisioned"),
        (SPORADIC, Circumstances(model=LLAMA), 8, "lambda-bedrock"),
        (replace(CHAT, peak=400), Circumstances(model=LLAMA), 8, "lambda-bedrock"),
        (CHAT, Circumstances(model=LLAMA), 8, "bedrock-on-demand"),
        (STEADY, CUSTOM, 8, "ecs-gpu"),
        (CHAT, CUSTOM, 8, "sagemaker-realtime"),
        (SPORADIC, CUSTOM, 8, "sagemaker-async"),
        (CHAT, CUSTOM, 1, "machine"),
        (SPORADIC, CUSTOM, 1, "sagemaker-serverless"),
    ],
)
def test_every_leaf_is_reached(
    demand: Demand, circumstances: Circumstances, parameters: int, leaf: Strategy
) -> None:
    path = walk_tree(demand, model(parameters * 10**9), circumstances)
    assert path.strategy == leaf
    assert path.answers[0].question == "Does Bedrock sell the model, unchanged?"
    assert all(answer.answer.startswith(("yes: ", "no: ")) for answer in path.answers)


def test_the_answers_have_the_workloads_figures() -> None:
    answers = walk_tree(CHAT, model(), CUSTOM).answers
    assert [answer.answer for answer in answers] == [
        "no: the weights are your own",
        "yes: weights of 14.9GiB, more than the 6GiB that serverless functions hold",
        "no: 20/s on average, 80/s at the peak",
        "no: spiky, 20/s",
    ]


def _option(strategy: Strategy, usd: float, *obstacles: Obstacle) -> Option:
    bill = Sum(
        name="cost",
        terms=(Term(name="all", value=usd, unit="USD/month", formula="", source=""),),
    )
    return Option(
        configuration=Configuration(strategy=strategy),
        cost=Cost(monthly=bill, usd_per_request=0.0, usd_per_million_tokens=0.0),
        obstacles=obstacles,
    )


def test_the_numbers_agree() -> None:
    path = walk_tree(CHAT, model(), CUSTOM)
    judged = judge_tree(path, _option("sagemaker-realtime", 100))
    assert not judged.overruled
    assert judged.verdict == "the numbers agree with the tree: a SageMaker real-time endpoint"


def test_a_cheaper_option_overrules_the_tree() -> None:
    path = walk_tree(CHAT, model(), CUSTOM)
    judged = judge_tree(path, _option("ecs-gpu", 1000), _option("sagemaker-realtime", 1300))
    assert judged.overruled
    assert judged.strategy == "sagemaker-realtime"
    assert judged.verdict.endswith(
        "a SageMaker real-time endpoint costs $1,300 a month, this $1,000"
    )


def test_an_obstacle_overrules_the_tree() -> None:
    path = walk_tree(CHAT, model(), CUSTOM)
    broken = _option("sagemaker-realtime", 1, Obstacle(limit="payload", message="7 MB is too much"))
    assert judge_tree(path, _option("ecs-gpu", 1000), broken).verdict.endswith("7 MB is too much")
    assert "not found feasible" in judge_tree(path, _option("ecs-gpu", 1000)).verdict


def test_nothing_does() -> None:
    judged = judge_tree(walk_tree(CHAT, model(), CUSTOM), None)
    assert judged.overruled
    assert judged.verdict.endswith("by the numbers nothing does")
