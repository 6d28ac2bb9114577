"""What a deployment costs: exact money, every term with its formula, source and day."""

from pilotage.plan.cost.charges import Charge
from pilotage.plan.cost.operation import HOURS_PER_MONTH, Market, Operation
from pilotage.plan.cost.total import cost_of, monthly_charges
from pilotage.plan.cost.traffic import answer_bytes, mean_tokens, prompt_bytes, requests_a_month

__all__ = [
    "HOURS_PER_MONTH",
    "Charge",
    "Market",
    "Operation",
    "answer_bytes",
    "cost_of",
    "mean_tokens",
    "monthly_charges",
    "prompt_bytes",
    "requests_a_month",
]
