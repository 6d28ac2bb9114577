"""Discrete-event simulation of continuous batching, replicas and autoscaling."""

from pilotage.plan.simulate.arrivals import bursty, even, from_demand, poisson, traced
from pilotage.plan.simulate.fleet import Autoscaling, Fleet, Spot
from pilotage.plan.simulate.requests import Requests, draw_lengths
from pilotage.plan.simulate.result import Moment, Simulation
from pilotage.plan.simulate.run import simulate
from pilotage.plan.simulate.step_table import StepTable

__all__ = [
    "Autoscaling",
    "Fleet",
    "Moment",
    "Requests",
    "Simulation",
    "Spot",
    "StepTable",
    "bursty",
    "draw_lengths",
    "even",
    "from_demand",
    "poisson",
    "simulate",
    "traced",
]
