"""The verifiers of a spec."""

from __future__ import annotations

from collections.abc import Mapping

from pilotage.errors import UsageError
from pilotage.route.backends.tier import Tier
from pilotage.route.calibration.calibration import Calibration
from pilotage.route.verifiers.agreement import AgreementVerifier
from pilotage.route.verifiers.judge import Judge
from pilotage.route.verifiers.logprobs import LogprobVerifier
from pilotage.route.verifiers.refusal import RefusalVerifier
from pilotage.route.verifiers.schema import SchemaVerifier
from pilotage.route.verifiers.scorer import ScorerVerifier
from pilotage.route.verifiers.truncation import TruncationVerifier
from pilotage.route.verifiers.verifier import Verifier
from pilotage.spec.routing import RoutingSpec


def build_verifiers(
    routing: RoutingSpec, tiers: Mapping[str, Tier], calibration: Calibration | None
) -> tuple[Verifier, ...]:
    """The verifiers that a spec names, cheapest first whatever order it names them in.

    Args:
        routing: The spec.
        tiers: By name, from the cheapest to the best.
        calibration: Has the models that log-probabilities and texts are judged by.

    Raises:
        UsageError: Log-probabilities or texts are to be judged and nothing says how.
    """
    wanted = set(routing.verifier.checks)
    models = {} if calibration is None else calibration.logprobs
    typical = {} if calibration is None else calibration.completion_tokens
    if "logprobs" in wanted and not models:
        raise UsageError(
            "logprobs needs a calibration with log-probabilities",
            where="routing.verifier.checks",
            hint="Run pilotage route calibrate on data that has them, or leave logprobs out",
        )
    scorer = [ScorerVerifier.of(calibration)] if "scorer" in wanted else []
    every: tuple[Verifier, ...] = (
        SchemaVerifier(),
        RefusalVerifier(),
        TruncationVerifier(),
        LogprobVerifier(models, typical),
        *scorer,
        AgreementVerifier(tiers),
        build_judge(routing, tiers, calibration),
    )
    return tuple(verifier for verifier in every if verifier.name in wanted)


def build_judge(
    routing: RoutingSpec, tiers: Mapping[str, Tier], calibration: Calibration | None
) -> Judge:
    """The judge that a spec names, whether answers are held for it or audited by it."""
    scales = {} if calibration is None else calibration.judge
    return Judge(tiers, routing.verifier.judge_tier, scales)
