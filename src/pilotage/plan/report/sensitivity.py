"""What becomes of a plan at other loads and lengths, as a table."""

from __future__ import annotations

from pilotage.plan.report import figures
from pilotage.plan.report.table import Cell, Table, Tone
from pilotage.plan.result import Plan


def sensitivity_table(plan: Plan) -> Table | None:
    """A row a factor: the cheapest option then, and how the plan itself would do."""
    if not plan.sensitivity:
        return None
    rows = []
    for row in sorted(plan.sensitivity, key=lambda one: (one.of, one.factor)):
        held: Tone = "" if row.held_feasible is None else "good" if row.held_feasible else "bad"
        overloaded = held == "bad" and row.held_e2e_p99_s is None
        alone = "overloaded" if overloaded else figures.seconds(row.held_e2e_p99_s)
        rows.append(
            (
                Cell(f"{figures.times(row.factor)} the {row.of}"),
                Cell(row.label, tone="" if row.feasible else "bad"),
                Cell(figures.usd(row.usd_per_month)),
                Cell(figures.seconds(row.ttft_p99_s)),
                Cell(figures.seconds(row.e2e_p99_s)),
                Cell(alone, tone=held),
            )
        )
    head = ("", "cheapest then", "USD/month", "TTFT p99", "E2E p99", "E2E p99 of the plan as it is")
    return Table("sensitivity", "Sensitivity", head, tuple(rows), frozenset({0, 1}))
