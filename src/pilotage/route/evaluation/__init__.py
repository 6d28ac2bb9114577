"""Evaluation: ways of choosing among models, fitted on one file of scores, measured on another."""

from pilotage.route.evaluation.as_json import as_dict
from pilotage.route.evaluation.evaluation import Evaluation, comparable, evaluate_matrices
from pilotage.route.evaluation.matrix import Matrix
from pilotage.route.evaluation.model_prices import ModelPrice, default_prices, read_prices
from pilotage.route.evaluation.page import html_page
from pilotage.route.evaluation.reading import read_matrix

__all__ = [
    "Evaluation",
    "Matrix",
    "ModelPrice",
    "as_dict",
    "comparable",
    "default_prices",
    "evaluate_matrices",
    "html_page",
    "read_matrix",
    "read_prices",
]
