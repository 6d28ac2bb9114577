"""Ways to deploy a model: each one's hard limits, and the tree that would choose among them."""

from pilotage.plan.strategies.assumptions import BedrockAssumptions, parse_assumptions
from pilotage.plan.strategies.decision_tree import TreePath, judge_tree, walk_tree
from pilotage.plan.strategies.limits import Circumstances, Limits, Rules
from pilotage.plan.strategies.table import STRATEGIES, notes_of, obstacles_of

__all__ = [
    "STRATEGIES",
    "BedrockAssumptions",
    "Circumstances",
    "Limits",
    "Rules",
    "TreePath",
    "judge_tree",
    "notes_of",
    "obstacles_of",
    "parse_assumptions",
    "walk_tree",
]
