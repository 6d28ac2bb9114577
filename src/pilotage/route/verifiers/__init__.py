"""Verifiers: how good an answer is, judged after it was generated."""

from pilotage.route.verifiers.agreement import AgreementVerifier
from pilotage.route.verifiers.build import build_judge, build_verifiers
from pilotage.route.verifiers.judge import Judge, Judgement
from pilotage.route.verifiers.logprobs import LogprobVerifier
from pilotage.route.verifiers.panel import Finding, Panel
from pilotage.route.verifiers.refusal import RefusalVerifier
from pilotage.route.verifiers.schema import SchemaVerifier
from pilotage.route.verifiers.scorer import ScorerVerifier
from pilotage.route.verifiers.truncation import TruncationVerifier
from pilotage.route.verifiers.verifier import Verdict, Verifier

__all__ = [
    "AgreementVerifier",
    "Finding",
    "Judge",
    "Judgement",
    "LogprobVerifier",
    "Panel",
    "RefusalVerifier",
    "SchemaVerifier",
    "ScorerVerifier",
    "TruncationVerifier",
    "Verdict",
    "Verifier",
    "build_judge",
    "build_verifiers",
]
