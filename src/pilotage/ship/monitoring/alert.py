"""What a rule is: a series that is computed once, or a state that somebody should hear of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pilotage.ship.monitoring.series import span

Severity = Literal["critical", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A series that is computed at every evaluation.

    Attributes:
        name: As ``level:metric:operation``.
        expression: In Prometheus' language.
    """

    name: str
    expression: str

    def as_rule(self) -> dict[str, Any]:
        """As a rule file has it."""
        return {"record": self.name, "expr": self.expression}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A state that somebody should hear of.

    Attributes:
        name: Such as "PilotageSlowFirstTokens".
        expression: True while it has a value.
        lasting_s: How long it must be true, seconds.
        severity: critical: users notice now; warning: they will, or money is lost.
        summary: One line; may name ``{{ $value }}`` and labels.
        advice: What to look at, and what helps.
        reason: Where the threshold comes from.
    """

    name: str
    expression: str
    lasting_s: float
    severity: Severity
    summary: str
    advice: str
    reason: str

    def as_rule(self, deployment: str) -> dict[str, Any]:
        """As a rule file has it."""
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": span(self.lasting_s),
            "labels": {"severity": self.severity, "deployment": deployment},
            "annotations": {
                "summary": self.summary,
                "description": self.advice,
                "reason": self.reason,
            },
        }
