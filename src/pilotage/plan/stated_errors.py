"""How far off a plan's figures may be: errors measured on rows that were left out of the fit."""

from __future__ import annotations

from typing import Final

from pilotage.plan.calibration import shipped
from pilotage.plan.option import Option
from pilotage.plan.result import StatedError

_LEFT_OUT: Final = "median over rows whose model or accelerator was left out of the fit"
_UNSEEN: Final = {"first_token_latency": 0.273, "decode_step": 0.09, "saturated_throughput": 0.197}
"""The 90th percentile with the accelerator left out, as bench/plan_accuracy.py printed it on
2026-11-22: what is to be expected of an accelerator or a format that nobody measured."""

_MIXTURE: Final = 0.5
"""gpt-oss-20b, the one mixture of experts among the rows, missed by 41 to 56 % when left out."""


def stated_errors(
    option: Option | None, *, measured: bool, mixture: bool
) -> tuple[StatedError, ...]:
    """The errors to state beside a chosen option.

    Args:
        option: What was chosen; None, or one without an engine, has nothing predicted by us.
        measured: Whether its accelerator and number format were among the fitted rows.
        mixture: Whether the model is a mixture of experts.
    """
    if option is None or option.configuration.precision is None or option.estimate is None:
        return ()
    own = option.estimate.relative_error
    if own:
        return tuple(
            StatedError(name=name, relative=error, measured_on="this machine's own steps")
            for name, error in own.items()
        )
    known = shipped().errors

    def error(kind: str) -> float:
        found = known[kind] if measured else max(known[kind], _UNSEEN[kind])
        return max(found, _MIXTURE) if mixture else found

    source = _LEFT_OUT if measured else "90th percentile over rows of accelerators left out"
    if mixture:
        source = "the one mixture of experts among the rows, left out of the fit"
    # A step under load carries prefill as well: the saturated rows' error, not a lone decode's.
    step = max(error("decode_step"), error("saturated_throughput"))
    return (
        StatedError(name="ttft", relative=error("first_token_latency"), measured_on=source),
        StatedError(name="tpot", relative=step, measured_on=source),
        StatedError(
            name="e2e", relative=max(step, error("first_token_latency")), measured_on=source
        ),
        StatedError(
            name="requests_per_s", relative=error("saturated_throughput"), measured_on=source
        ),
    )
