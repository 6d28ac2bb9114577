"""Estimators: how difficult a request is, judged before anything is generated."""

from pilotage.route.estimators.estimator import Estimator

__all__ = ["Estimator"]
