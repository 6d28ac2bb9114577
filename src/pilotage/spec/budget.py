"""The ``budget:`` section: what it may cost."""

from __future__ import annotations

from pydantic import Field

from pilotage.spec.fields import Section


class BudgetSpec(Section):
    """The most that a deployment, or a portfolio of them, may cost."""

    usd_per_month: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="US dollars a month of 730 hours."
    )
    usd_per_request: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="US dollars a request, on average."
    )
