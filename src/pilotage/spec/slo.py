"""The ``slo:`` section: the latency that is promised."""

from __future__ import annotations

from pydantic import Field

from pilotage.spec.fields import Duration, Section


class SloSpec(Section):
    """Service-level objectives: the latency that 99 of 100 requests keep."""

    ttft_p99: Duration | None = Field(
        default=None,
        gt=0,
        description="Time to first token. It also sets how much work may queue: "
        "requests that could not keep it are refused early.",
    )
    tpot_p99: Duration | None = Field(
        default=None, gt=0, description="Time per output token after the first."
    )
    e2e_p99: Duration | None = Field(
        default=None, gt=0, description="End-to-end latency, from request to last token."
    )
