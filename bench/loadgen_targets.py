"""What issue 3 promises of the load client, and whether it held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from bench.loadgen_rate import DELAY_LIMIT_S
from bench.loadgen_report import ArrivalRow, RateRow, Target, TruthRow

TRUTH_LIMIT = 0.02
P_VALUE_LIMIT = 0.05
RATE_TARGET = 3.0
STALL_SHOWN = 0.9
"""A tool shows the stall if its p99 is at least this share of the true one: with three stalls in
a run, chance moves the true one by some percent."""


def targets(
    truth: Sequence[TruthRow], arrivals: Sequence[ArrivalRow], rates: Sequence[RateRow]
) -> tuple[Target, ...]:
    """Each promise with what was measured."""
    shown = {
        row.tool: row.measured.p99 >= STALL_SHOWN * row.theory.p99
        for row in truth
        if row.mode.startswith("stall")
    }
    return (_near(truth), _drawn(arrivals), _fast(rates), _shows(shown), _alone(shown))


def rate_ratio(rows: Sequence[RateRow]) -> float | None:
    """Pilotage's rate as a multiple of the better peer's."""
    ours = next((row.rate for row in rows if row.tool == "pilotage"), None)
    theirs = max((row.rate for row in rows if row.tool != "pilotage"), default=None)
    return ours / theirs if ours and theirs else None


def _near(rows: Sequence[TruthRow]) -> Target:
    # Not the p90 of the stall: it lies where the latency jumps from 50 ms to a second, so that
    # it only says which side of the edge a request or two fell on.
    worst = max(
        (
            (abs(ratio - 1), f"{name}, {row.mode}")
            for row in rows
            if row.tool == "pilotage"
            for name, ratio in asdict(row.ratio).items()
            if not (name == "p90" and row.mode.startswith("stall"))
        ),
        default=None,
    )
    claim = f"Pilotage's percentiles are within {TRUTH_LIMIT:.0%} of the truth"
    if worst is None:
        return Target(claim, None, "not measured", None)
    return Target(claim, worst[0], f"worst: {worst[0]:.2%}, {worst[1]}", worst[0] <= TRUTH_LIMIT)


def _drawn(rows: Sequence[ArrivalRow]) -> Target:
    odds = [
        value
        for row in rows
        if row.tool == "pilotage"
        for value in (row.p_sent, row.p_seen)
        if value is not None
    ]
    claim = f"the gaps it sends pass a Kolmogorov-Smirnov test at p ≥ {P_VALUE_LIMIT:g}"
    least = min(odds, default=None)
    if least is None:
        return Target(claim, None, "not measured", None)
    return Target(claim, least, f"smallest p: {least:.3f}", least >= P_VALUE_LIMIT)


def _fast(rows: Sequence[RateRow]) -> Target:
    claim = (
        f"one core sends ≥ {RATE_TARGET:g} times the better peer's requests, with a median send "
        f"delay below {DELAY_LIMIT_S * 1000:g} ms"
    )
    ratio = rate_ratio(rows)
    if ratio is None:
        return Target(claim, None, "not measured", None)
    return Target(claim, ratio, f"{ratio:.1f} times", ratio >= RATE_TARGET)


def _shows(shown: dict[str, bool]) -> Target:
    claim = "Pilotage's p99 shows the stall"
    if "pilotage" not in shown:
        return Target(claim, None, "not measured", None)
    return Target(claim, None, "yes" if shown["pilotage"] else "no", shown["pilotage"])


def _alone(shown: dict[str, bool]) -> Target:
    claim = "no other tool's p99 shows it; these do"
    others = [tool for tool in shown if tool != "pilotage"]
    if not others:
        return Target(claim, None, "not measured", None)
    showing = [tool for tool in others if shown[tool]]
    return Target(claim, None, f"{' and '.join(showing) or 'none'}", not showing)
