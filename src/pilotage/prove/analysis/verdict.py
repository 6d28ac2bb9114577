"""Whether the SLO holds, with what confidence, and what would settle it if that is open."""

from __future__ import annotations

from typing import Final

from pilotage.prove.analysis.objective import judge
from pilotage.prove.analysis.promise import promises
from pilotage.prove.result import Finding, Validity, Verdict
from pilotage.prove.trial import Trial

_WORST_FIRST: Final[tuple[Finding, ...]] = ("missed", "not_enough_evidence", "met")


def verdict(
    trial: Trial, *, slo: dict[str, float], validity: Validity, confidence: float = 0.95
) -> Verdict:
    """Whether ``trial`` shows that every promise of ``slo`` holds.

    Args:
        trial: The run.
        slo: What is promised, in seconds by names such as "ttft_p99".
        validity: Of the run; of an invalid one nothing is said.
        confidence: Of each finding, such as 0.95.

    Raises:
        UsageError: ``slo`` holds something that is no objective.
    """
    judged = [judge(promise, trial, confidence) for promise in promises(slo)]
    objectives = tuple(objective for objective, _ in judged)
    if not validity.valid:
        return Verdict(
            finding="invalid",
            confidence=confidence,
            objectives=objectives,
            sentence=f"invalid: {'; '.join(validity.reasons)}",
        )
    if not judged:
        return Verdict(
            finding="no_slo",
            confidence=confidence,
            sentence="no verdict: there is no SLO to hold the figures against",
        )
    findings = {objective.finding for objective in objectives}
    return Verdict(
        finding=next(finding for finding in _WORST_FIRST if finding in findings),
        confidence=confidence,
        objectives=objectives,
        sentence="; ".join(sentence for _, sentence in judged),
    )
