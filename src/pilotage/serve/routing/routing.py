"""What a gateway with a ``routing:`` section has: router, tiers, ledger and budgets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from pilotage.route.backends.breaker import BreakerState
from pilotage.route.backends.tier import Tier
from pilotage.route.ledger import Ledger
from pilotage.route.router import Router
from pilotage.serve.api.context import GatewayContext
from pilotage.serve.routing.admission import Admission
from pilotage.serve.routing.endpoint import answer_routed
from pilotage.serve.routing.metrics import RouteMetrics
from pilotage.serve.routing.pass_through import PassThroughLayer
from pilotage.serve.routing.passed_on import RoutedChatRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """Answers the requests for its names.

    Attributes:
        model: The name that is routed.
        tiers: The tiers, from the cheapest to the best.
        router: Chooses among them.
        ledger: Keeps every attempt.
        metrics: Counts them.
        admission: Admits requests by what their keys may spend.
        raw: Tiers whose answers may be passed through unparsed, by the name that is asked for.
        remote: Names of the backends that are no models of this server.
        max_history: Most messages of a conversation.
        timeout_s: Longest time for a request.
        created: Unix time, seconds.
    """

    model: str
    tiers: Mapping[str, Tier]
    router: Router
    ledger: Ledger
    metrics: RouteMetrics
    admission: Admission
    raw: Mapping[str, Tier]
    remote: Collection[str]
    max_history: int
    timeout_s: float
    created: int

    @property
    def local_only(self) -> bool:
        """Whether every tier is this server's own models."""
        return not self.remote

    @property
    def names(self) -> tuple[str, ...]:
        """The names that are routed: the model's, then the tiers'."""
        return (self.model, *self.tiers)

    @property
    def reachable(self) -> bool:
        """Whether a backend elsewhere answers, or is not known to be down."""
        return any(
            backend.state is not BreakerState.OPEN
            for tier in self.tiers.values()
            for backend in tier.health
            if backend.name in self.remote
        )

    def answers(self, body: Mapping[str, Any]) -> bool:
        """Whether a chat request is for one of its names."""
        model = body.get("model")
        return isinstance(model, str) and model in self.names

    async def answer(
        self, context: GatewayContext, request: Request, body: dict[str, Any]
    ) -> Response:
        """The response to a chat request for one of its names; see `answer_routed`."""
        return await answer_routed(context, self, request, body)

    @property
    def bodies(self) -> tuple[type[BaseModel], ...]:
        """Bodies of chat requests that it takes, beside those of this server's own models."""
        return () if self.local_only else (RoutedChatRequest,)

    def layer(self, app: ASGIApp, context: GatewayContext) -> PassThroughLayer:
        """The short way for requests whose answers are passed through, in front of an app."""
        return PassThroughLayer(app, context, self)

    def decision(self, name: str) -> str:
        """Why a request that is passed through goes to its tier."""
        return "static" if name == self.model else "asked for by its name"

    def cards(self) -> list[dict[str, Any]]:
        """Its names as ``/v1/models`` shows models."""
        return [self.card(name) for name in self.names]

    def card(self, name: str) -> dict[str, Any]:
        """One of its names as ``/v1/models`` shows a model."""
        return {
            "id": name,
            "object": "model",
            "created": self.created,
            "owned_by": "pilotage",
            "root": name,
            "max_model_len": None,
        }

    def drain(self) -> None:
        """Take nothing new."""
        self.admission.draining = True

    async def close(self) -> None:
        """End what runs in the background, let go of connections, and write the ledger out."""
        await self.router.close()
        for tier in self.tiers.values():
            await tier.close()
        self.ledger.close()
