"""Whether a policy may run: it has been measured as it is set up, and has won."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from pilotage.errors import UsageError
from pilotage.route.calibration.calibration import Calibration, PolicyFit
from pilotage.spec.routing import RoutingSpec, RuleSpec

_FORCE: Final = "routing.force: true runs it nevertheless"


def check_policy(routing: RoutingSpec, calibration: Calibration | None) -> None:
    """See that the spec's policy has beaten the best single model and the linear mix.

    ``static`` claims nothing and always may run; ``force`` lets anything run.

    Args:
        routing: The spec.
        calibration: What was measured; None if the spec names no file.

    Raises:
        UsageError: It has not been measured, has not been measured in this set-up, or has lost;
            with the figures. Exit code 2.
    """
    if calibration is not None:
        calibration.require_tiers(routing)
    if routing.policy == "static" or routing.force:
        return
    if calibration is None:
        raise UsageError(
            f"the policy {routing.policy} has not been shown to beat the best single model and "
            "the linear mix",
            where="routing.policy",
            hint=f"Measure it on your data with pilotage route calibrate; {_FORCE}",
        )
    fit = calibration.policies.get(routing.policy)
    if fit is None:
        needs = (
            ""
            if routing.policy == "router"
            else ": a cascade needs answers, log-probabilities or a judge's scores in the data"
        )
        raise UsageError(
            f"the calibration has not measured the policy {routing.policy}{needs}",
            where="routing.policy",
            hint=f"It chose {_choice(calibration)}; {_FORCE}",
        )
    if changes := _changes(routing, calibration):
        raise UsageError(
            f"the calibration measured {routing.policy} in another set-up: {'; '.join(changes)}",
            where="routing.calibration",
            hint=f"Calibrate again with this spec; {_FORCE}",
        )
    if not fit.comparison.beats:
        raise UsageError(
            f"the policy {routing.policy} does not beat the best single model and the linear mix "
            f"of models: {figures(fit)}",
            where="routing.policy",
            hint=f"The calibration chose {_choice(calibration)}; {_FORCE}",
        )


def figures(fit: PolicyFit) -> str:
    """How a policy did, in a line."""
    one = fit.comparison
    over, saved = one.over_mix, one.saved
    return (
        f"quality {one.quality:.3f} at ${one.usd:.6g} a request, the mix {one.mix_quality:.3f} "
        f"at that cost (difference {over.value:+.3f}, {one.confidence:.0%} interval "
        f"{over.low:+.3f} to {over.high:+.3f}), {one.best_single} {one.best_quality:.3f} at "
        f"${one.best_usd:.6g}; cost saved {saved.value:.1%} ({saved.low:.1%} to {saved.high:.1%}) "
        f"on {one.rows:,} requests"
    )


def rules_digest(rules: Sequence[RuleSpec]) -> str:
    """The same for the same rules in the same order."""
    return hashlib.sha256(
        msgspec.json.encode([rule.model_dump(mode="json") for rule in rules])
    ).hexdigest()


def _choice(calibration: Calibration) -> str:
    tier = calibration.chosen_tier
    return calibration.chosen if tier is None else f"{calibration.chosen} with {tier}"


def _changes(routing: RoutingSpec, calibration: Calibration) -> list[str]:
    """What the figures hold for, and the spec says otherwise."""
    setup, kind = calibration.setup, routing.estimator.kind
    found = []
    if kind != setup.estimator:
        found.append(f"estimator.kind was {setup.estimator} and is {kind}")
    elif kind == "rules" and rules_digest(routing.estimator.rules) != setup.rules:
        found.append("estimator.rules are others")
    if routing.policy == "router":
        return found
    if missing := [name for name in setup.signals if name not in routing.verifier.checks]:
        found.append(f"verifier.checks is without {', '.join(missing)}")
    if "judge" in setup.signals and routing.verifier.judge_tier != setup.judge_tier:
        found.append("verifier.judge_tier is another")
    if routing.verifier.thresholds != setup.thresholds:
        found.append("verifier.thresholds are others")
    if routing.max_generations != setup.max_generations:
        found.append(
            f"max_generations was {setup.max_generations} and is {routing.max_generations}"
        )
    return found
