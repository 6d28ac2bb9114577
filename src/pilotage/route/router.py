"""The router: from a request to the cheapest answer that is good enough."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pilotage.route.backends.tier import Tier
from pilotage.route.calibration.calibration import Calibration
from pilotage.route.call import Call
from pilotage.route.deliberation import Deliberation, Means
from pilotage.route.drift import Alert
from pilotage.route.estimators.estimator import Estimator
from pilotage.route.outlook import Outlook
from pilotage.route.policies import Policy, State, Static, build_policy
from pilotage.route.rejection import history_too_long, unknown_model
from pilotage.route.routed_answer import RoutedAnswer
from pilotage.route.shadow import Afterwards
from pilotage.route.verifiers import LogprobVerifier, Panel, Verifier, build_judge
from pilotage.spec.routing import RoutingSpec


class Router:
    """Answers requests through tiers, by the policy of its spec.

    Args:
        routing: The spec.
        tiers: By name, in the spec's order.
        estimator: Judges requests before anything is generated; None for nobody.
        verifiers: Judge answers, cheapest first (`build_verifiers`).
        calibration: What was fitted on the user's data, if anything was.
        rng: Salts which requests are shadowed and audited, so that no client can choose.
        on_alert: Told of alerts of drift, for metrics; they are logged anyway.
    """

    def __init__(
        self,
        routing: RoutingSpec,
        tiers: Mapping[str, Tier],
        *,
        estimator: Estimator | None = None,
        verifiers: Sequence[Verifier] = (),
        calibration: Calibration | None = None,
        rng: random.Random | None = None,
        on_alert: Callable[[Alert], None] | None = None,
    ) -> None:
        self._routing = routing
        self._tiers = {name: tiers[name] for name in routing.tier_names}
        self._estimator = estimator
        self._calibration = calibration
        self._outlook = Outlook(
            {name: tier.price for name, tier in self._tiers.items()},
            {} if calibration is None else calibration.completion_tokens,
        )
        policy = build_policy(routing, calibration)
        self._means = {routing.model: self._both(policy, verifiers)} | {
            name: self._both(Static(name, fall_back=False), ()) for name in self._tiers
        }
        salt = (rng or random.SystemRandom()).randbytes(16)
        self._afterwards = Afterwards(
            routing,
            self._tiers[routing.tier_names[-1]],
            build_judge(routing, self._tiers, calibration),
            salt,
            on_alert,
        )

    def _both(self, policy: Policy, verifiers: Sequence[Verifier]) -> tuple[Means, Means]:
        """For answers that are sent whole, and for streams."""
        whole = Means(
            tiers=self._tiers,
            policy=policy,
            panel=Panel(verifiers, self._calibration),
            calibration=self._calibration,
            logprob_tiers=frozenset(
                tier for one in verifiers if isinstance(one, LogprobVerifier) for tier in one.tiers
            ),
            hold=None,
        )
        hold = None if self._routing.stream_buffer else self._routing.stream_hold
        return whole, replace(whole, hold=hold)

    async def answer(self, call: Call, *, model: str, stream: bool) -> RoutedAnswer:
        """Answer a request; comes back when the first chunk may go out.

        Args:
            call: The request.
            model: ``routing.model`` for the policy, or a tier's name for that tier alone.
            stream: Whether the client reads while it is generated; otherwise drafts are held until
                they are verified as a whole.

        Raises:
            Rejection: The request is wrong itself: 400 or 404, nothing was generated.
            BackendError: No tier that may be asked has answered.
        """
        routing = self._routing
        if model not in self._means:
            raise unknown_model(model, (routing.model, *routing.tier_names))
        if len(call.messages) > routing.max_history:
            raise history_too_long(len(call.messages), routing.max_history)
        now = time.monotonic()
        if call.deadline > now + routing.timeout:
            call = replace(call, deadline=now + routing.timeout)
        routed = model == routing.model
        deciding = routed and routing.policy != "static"
        estimate = None
        if deciding and self._estimator is not None:
            estimate = await self._estimator.estimate(call)
        state = State(
            tiers=routing.tier_names,
            remaining=routing.max_generations,
            quality={} if estimate is None else estimate.quality,
            cost=self._outlook.cost(call) if deciding else {},
            latency_s=self._outlook.latency_s() if deciding else {},
            time_left_s=call.deadline - time.monotonic(),
        )
        deliberation = Deliberation(call, self._means[model][stream], state, estimate)
        await deliberation.run()
        return RoutedAnswer(deliberation, lambda answer: self._ended(call, answer, routed=routed))

    def _ended(self, call: Call, answer: RoutedAnswer, *, routed: bool) -> None:
        self._outlook.learn(answer.attempt)
        if routed:
            self._afterwards.consider(call, answer.tier, answer.answer, answer.predicted)

    async def idle(self) -> None:
        """Wait for the shadows and audits that are running (a Lambda function is frozen then)."""
        await self._afterwards.idle()

    async def close(self) -> None:
        """End the shadows and audits that are still running."""
        await self._afterwards.close()
