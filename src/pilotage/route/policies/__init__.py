"""Policies: what to do next for a request, as pure functions of what is known."""

from pilotage.route.policies.build import build_policy
from pilotage.route.policies.cascade import Cascade
from pilotage.route.policies.cascade_routing import CascadeRouting
from pilotage.route.policies.policy import Policy, with_tried, would_take
from pilotage.route.policies.router import PreRouter
from pilotage.route.policies.state import Action, Ask, GiveUp, State, Take, Tried
from pilotage.route.policies.static import Static

__all__ = [
    "Action",
    "Ask",
    "Cascade",
    "CascadeRouting",
    "GiveUp",
    "Policy",
    "PreRouter",
    "State",
    "Static",
    "Take",
    "Tried",
    "build_policy",
    "with_tried",
    "would_take",
]
