"""The router: from a request to the cheapest answer that is good enough."""

from __future__ import annotations

from pilotage.route.call import Call
from pilotage.route.routed_answer import RoutedAnswer


class Router:
    """Answers requests through tiers, by the policy of its spec.

    ``Router(routing, tiers, *, estimator, verifiers, calibration, rng, on_alert)``; close it with
    `close`.
    """

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
        raise NotImplementedError

    async def close(self) -> None:
        """End the shadows and audits that are still running."""
        raise NotImplementedError
