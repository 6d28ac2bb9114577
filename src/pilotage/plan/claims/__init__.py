"""Claims about models and hardware: possible or impossible, with the arithmetic."""

from pilotage.plan.claims.claim import Claim, Finding, Verdict
from pilotage.plan.claims.physics import check_claim
from pilotage.plan.claims.reading import FORMS, read_claim
from pilotage.plan.claims.statements import Statement, judge

__all__ = [
    "FORMS",
    "Claim",
    "Finding",
    "Statement",
    "Verdict",
    "check_claim",
    "judge",
    "read_claim",
]
