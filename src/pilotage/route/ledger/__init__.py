"""The ledger: a row an attempt, budgets that hold, and what routing cost and saved.

``open_ledger`` opens it; `Budgets` says who may go on; `report` adds it up.
"""

from __future__ import annotations

from pilotage.route.ledger.budgets import Budgets, Exhausted, Limits, Reservation
from pilotage.route.ledger.ledger import Ledger, open_ledger
from pilotage.route.ledger.pace import LedgerState

__all__ = [
    "Budgets",
    "Exhausted",
    "Ledger",
    "LedgerState",
    "Limits",
    "Reservation",
    "open_ledger",
]
