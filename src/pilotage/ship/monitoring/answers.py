"""Rules on answers: too slow, failing, refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pilotage.ship.monitoring.alert import Alert, Recording, Severity
from pilotage.ship.monitoring.promises import SHARE, Latency
from pilotage.ship.monitoring.series import Series, span
from pilotage.ship.monitoring.thresholds import FAILED_PERCENT, REJECTED_PERCENT
from pilotage.ship.target import Shipment

ASKED: Final = 'endpoint!~"/health.*|/ping|/metrics|other"'
"""What users ask for: no probes, no scrapes, no paths that are not there."""
FAILED: Final = 'status=~"5.."'

_FIVE_MINUTES: Final = 300
_HOUR: Final = 3600
_DAY: Final = 86_400
_BUDGET_DAYS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class _Burn:
    """An error budget that is used up too fast, seen over a long window and still now.

    Attributes:
        alert: Name.
        factor: Times the speed at which the budget lasts exactly `_BUDGET_DAYS`.
        long_s: The window that shows it matters.
        short_s: The window that shows it goes on.
        severity: Of the alert.
    """

    alert: str
    factor: float
    long_s: int
    short_s: int
    severity: Severity

    @property
    def spent(self) -> float:
        """Share of the budget that the long window has used up by then."""
        return self.factor * self.long_s / (_BUDGET_DAYS * _DAY)


# Windows and factors: Google, The Site Reliability Workbook (2018), chapter 5, table 5-8.
_BURNS: Final = (
    _Burn(alert="PilotageErrorBudgetBurnsFast", factor=14.4, long_s=_HOUR, short_s=300,
          severity="critical"),
    _Burn(alert="PilotageErrorBudgetBurns", factor=6, long_s=6 * _HOUR, short_s=1800,
          severity="critical"),
    _Burn(alert="PilotageErrorBudgetBurnsSlowly", factor=1, long_s=3 * _DAY, short_s=6 * _HOUR,
          severity="warning"),
)  # fmt: skip


def failed_share(series: Series, window: str) -> str:
    """Answers with 5xx, of all answers to what users ask for."""
    failed = series.rate("pilotage_requests_total", window, ASKED, FAILED)
    return f"{failed} / {series.rate('pilotage_requests_total', window, ASKED)}"


def rejected_share(series: Series, window: str) -> str:
    """Generations refused for want of room or budget, of all."""
    rejected = series.rate("pilotage_requests_rejected_total", window)
    return f"{rejected} / {series.rate('gen_ai_server_request_duration_seconds_count', window)}"


def answer_recordings(
    shipment: Shipment, series: Series, promised: tuple[Latency, ...]
) -> tuple[Recording, ...]:
    """Percentiles of what is promised, shares of what fails and of what is refused."""
    windows = {_FIVE_MINUTES}
    if _has_budget(shipment):
        windows |= {seconds for one in _BURNS for seconds in (one.long_s, one.short_s)}
    return (
        *(
            Recording(
                name=one.recorded,
                expression=one.percentile(series, SHARE, span(one.window_s)),
            )
            for one in promised
        ),
        *(
            Recording(name=_failed(seconds), expression=failed_share(series, span(seconds)))
            for seconds in sorted(windows)
        ),
        Recording(
            name="job:pilotage_rejected:ratio_rate5m", expression=rejected_share(series, "5m")
        ),
    )


def answer_alerts(
    shipment: Shipment, series: Series, promised: tuple[Latency, ...]
) -> tuple[Alert, ...]:
    """Promises that are broken, answers that fail, requests that are refused."""
    slow = tuple(
        Alert(
            name=one.alert,
            expression=one.broken(series),
            lasting_s=_FIVE_MINUTES,
            severity="critical",
            summary=f"{{{{ $labels.job }}}}: {one.words} at p99 is {{{{ $value | "
            f"humanizeDuration }}}}, promised {one.limit_s:g} s",
            advice="Look at queue and batch: more load than was planned for, too few replicas, or "
            "longer prompts. The dashboard's first row has the promise, the next ones the load.",
            reason=one.reason,
        )
        for one in promised
    )
    burns = tuple(_burn(series, one) for one in _BURNS) if _has_budget(shipment) else ()
    return (*slow, _failing(series), *burns, _rejects(shipment, series))


def _has_budget(shipment: Shipment) -> bool:
    slo = shipment.deployment.slo
    return any(one is not None for one in (slo.ttft_p99, slo.tpot_p99, slo.e2e_p99))


def _failed(seconds: int) -> str:
    return f"job:pilotage_failed:ratio_rate{span(seconds)}"


def _failing(series: Series) -> Alert:
    return Alert(
        name="PilotageFailedAnswers",
        expression=f"{series.of(_failed(_FIVE_MINUTES))} > {FAILED_PERCENT / 100:g}",
        lasting_s=_FIVE_MINUTES,
        severity="warning",
        summary="{{ $labels.job }}: {{ $value | humanizePercentage }} of the answers are 5xx",
        advice="The log has one line a request with its reason; the dashboard's row of errors "
        "tells them apart.",
        reason=f"More than {FAILED_PERCENT:g} %: promises are made for 99 of 100 requests, and one "
        "that fails keeps none.",
    )


def _burn(series: Series, burn: _Burn) -> Alert:
    least = burn.factor * (1 - SHARE)
    long, short = (series.of(_failed(seconds)) for seconds in (burn.long_s, burn.short_s))
    return Alert(
        name=burn.alert,
        expression=f"{long} > {least:g} and {short} > {least:g}",
        lasting_s=120,
        severity=burn.severity,
        summary="{{ $labels.job }}: {{ $value | humanizePercentage }} of the answers failed in "
        f"the last {span(burn.long_s)}",
        advice=f"{100 * burn.spent:g} % of what may fail in {_BUDGET_DAYS} days has failed in "
        f"{span(burn.long_s)}, and it goes on. Roll back what was changed last; see the log.",
        reason=f"The spec's SLO holds for 99 of 100 requests, so 1 % may fail; {burn.factor:g} "
        f"times that over {span(burn.long_s)} uses up {100 * burn.spent:g} % of {_BUDGET_DAYS} "
        f"days' budget. Over {span(burn.short_s)} as well, so that it ends when the failing does.",
    )


def _rejects(shipment: Shipment, series: Series) -> Alert:
    carried = shipment.plan.predictions.requests_per_s if shipment.plan else None
    planned = f" The plan carries {carried:g} requests a second within the SLO." if carried else ""
    return Alert(
        name="PilotageRejects",
        expression=f"{series.of('job:pilotage_rejected:ratio_rate5m')} "
        f"> {REJECTED_PERCENT / 100:g}",
        lasting_s=_FIVE_MINUTES,
        severity="warning",
        summary="{{ $labels.job }}: {{ $value | humanizePercentage }} of the requests are refused",
        advice="More arrives than was planned for, or replicas are missing: raise "
        "shipping.scaling.max, or plan again with the rate that the dashboard shows.",
        reason=f"More than {REJECTED_PERCENT:g} % over 5 minutes: bursts are refused by design, "
        f"so that the rest keeps its promise; this is no burst.{planned}",
    )
