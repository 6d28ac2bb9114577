"""An evaluation as JSON-ready data."""

from __future__ import annotations

import math
from typing import Any, Final

from pilotage.route.evaluation.evaluation import Evaluation
from pilotage.route.evaluation.measure import Figure, Measured

FORM: Final = "pilotage.route-evaluation/1"


def as_dict(found: Evaluation) -> dict[str, Any]:
    """The data; figures that do not exist are null.

    ``gap_closed`` is that of the best of our policies. ``policies`` holds every way of choosing by
    its name, single models and references included; ``kind`` tells them apart. The meaning of the
    figures is that of `pilotage.route.evaluation.measure.Measured`; intervals are of 95 %.
    """
    winner = found.winner
    return {
        "form": FORM,
        "fit": {"file": found.fit, "rows": found.fit_rows},
        "test": {"file": found.test, "rows": found.test_rows, "rows_in_fit": found.seen},
        "models": [
            {
                "name": name,
                "input_usd_per_mtok": float(price.input),
                "output_usd_per_mtok": float(price.output),
                "price_source": price.source,
            }
            for name, price in zip(found.models, found.prices, strict=True)
        ],
        "big_model": found.best,
        "best_policy": winner.name,
        "gap_closed": _number(winner.gap_closed.value),
        "gap_closed_interval": _interval(winner.gap_closed),
        "below_mix": any(one.below_mix for one in found.measured if one.kind == "policy"),
        "classifier_ms": found.classifier_s * 1e3,
        "policies": {one.name: _measured(one) for one in found.measured},
        "notes": list(found.notes),
    }


def _measured(one: Measured) -> dict[str, Any]:
    points = zip(one.curve.cost.tolist(), one.curve.quality.tolist(), strict=True)
    return {
        "kind": one.kind,
        "area": _number(one.area.value),
        "area_interval": _interval(one.area),
        "gap_closed": _number(one.gap_closed.value),
        "gap_closed_interval": _interval(one.gap_closed),
        "cost": _number(one.cost.value),
        "cost_interval": _interval(one.cost),
        "quality": _number(one.quality),
        "matches_best_single": one.matched,
        "saved_at_matched": _number(one.cost_saved.value),
        "saved_at_matched_interval": _interval(one.cost_saved),
        "saved_at_95": _number(one.saved_at_95.value),
        "saved_at_95_interval": _interval(one.saved_at_95),
        "calls_saved_at_95": _number(one.calls_saved_at_95.value),
        "calls_saved_at_95_interval": _interval(one.calls_saved_at_95),
        "least_above_mix": _number(one.margin.value),
        "below_mix": one.below_mix,
        "curve": [[cost, quality] for cost, quality in points],
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _interval(figure: Figure) -> list[float] | None:
    return [figure.low, figure.high] if math.isfinite(figure.low) else None
