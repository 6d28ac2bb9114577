"""The function's endpoints: from a request to a reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from pilotage.route.call import Call
from pilotage.route.handler.chat_form import as_events, completion
from pilotage.route.handler.chat_request import read_chat
from pilotage.route.handler.config import HandlerConfig
from pilotage.route.handler.costs import Costs, cost_text
from pilotage.route.handler.event import Request
from pilotage.route.handler.moderate import moderate, read_moderation
from pilotage.route.handler.refusal import Refusal
from pilotage.route.handler.reply import Reply
from pilotage.route.handler.whole import whole
from pilotage.route.router import Router
from pilotage.spec.routing import RoutingSpec

_Endpoint = Callable[[Request, str, float], Awaitable[Reply]]


class Application:
    """Answers requests.

    Args:
        config: Which endpoints there are, and how they behave.
        routing: The spec's section.
        router: Who answers.
        costs: The sink of the router's tiers.
    """

    def __init__(
        self, config: HandlerConfig, routing: RoutingSpec, router: Router, costs: Costs
    ) -> None:
        self._config = config
        self._routing = routing
        self._router = router
        self._costs = costs
        self._endpoints: dict[str, tuple[str, _Endpoint]] = {
            "/health": ("GET", self._health),
            "/v1/models": ("GET", self._models),
        }
        if "chat" in config.endpoints:
            self._endpoints["/v1/chat/completions"] = ("POST", self._chat)
        if "moderate" in config.endpoints:
            self._endpoints["/moderate"] = ("POST", self._moderate)

    async def answer(self, request: Request, request_id: str, deadline: float) -> Reply:
        """The reply to a request.

        Args:
            request: The request.
            request_id: For the ledger, and for whoever looks into it.
            deadline: As in `Call`.

        Raises:
            Refusal: It is wrong.
            Rejection: The router does not take it.
            BackendError: No tier has answered.
        """
        if request.path not in self._endpoints:
            raise Refusal(
                f"There is no such path; there are {', '.join(sorted(self._endpoints))}.",
                status=404,
                code="not_found",
            )
        method, endpoint = self._endpoints[request.path]
        if request.method != method:
            raise Refusal(
                f"This path takes {method}.",
                status=405,
                code="method_not_allowed",
                headers={"allow": method},
            )
        return await endpoint(request, request_id, deadline)

    async def _health(self, request: Request, request_id: str, deadline: float) -> Reply:
        del request, request_id, deadline
        return Reply(body={"status": "ok", "tiers": list(self._routing.tier_names)})

    async def _models(self, request: Request, request_id: str, deadline: float) -> Reply:
        del request, request_id, deadline
        names = (self._routing.model, *self._routing.tier_names)
        models = [{"id": name, "object": "model", "owned_by": "pilotage"} for name in names]
        return Reply(body={"object": "list", "data": models})

    async def _chat(self, request: Request, request_id: str, deadline: float) -> Reply:
        asked = read_chat(request, self._routing, self._config.history)
        call = Call(body=asked.body, request_id=request_id, deadline=deadline)
        # Never streamed, even where events are wanted: the runtime returns them all at once, so a
        # draft can be verified as a whole before any of it goes out.
        routed = await whole(self._router, call, asked.model)
        usage = routed.answer.usage
        more: dict[str, Any] = {"escalations": routed.escalations}
        headers = {}
        if asked.dropped:
            more["history_dropped"] = asked.dropped
            headers["x-pilotage-history-dropped"] = str(asked.dropped)
        account = self._account(
            routed.tier, request_id, estimated=usage is None or usage.estimated, more=more
        )
        body = completion(routed.answer, request_id=request_id, model=routed.tier, pilotage=account)
        return Reply(
            body=body,
            events=as_events(body, include_usage=asked.include_usage) if asked.stream else None,
            headers={**_account_headers(account), **headers},
        )

    async def _moderate(self, request: Request, request_id: str, deadline: float) -> Reply:
        outcome = await moderate(
            read_moderation(request),
            self._router,
            model=self._routing.model,
            config=self._config,
            request_id=request_id,
            deadline=deadline,
        )
        account = self._account(
            ",".join(outcome.tiers), request_id, estimated=outcome.estimated, more={}
        )
        return Reply(body={**outcome.body, "pilotage": account}, headers=_account_headers(account))

    def _account(
        self, tier: str, request_id: str, *, estimated: bool, more: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {
            "tier": tier,
            "cost_usd": cost_text(self._costs.of(request_id)),
            "usage_estimated": estimated,
            **more,
        }


TIER_HEADER: Final = "x-pilotage-tier"
COST_HEADER: Final = "x-pilotage-cost-usd"


def _account_headers(account: Mapping[str, Any]) -> dict[str, str]:
    return {TIER_HEADER: account["tier"], COST_HEADER: account["cost_usd"]}
