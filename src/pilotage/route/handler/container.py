"""What one Lambda container keeps between its invocations: router, event loop, connections."""

from __future__ import annotations

import asyncio
import math
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from pilotage.errors import SpecError
from pilotage.route.assembly import assemble
from pilotage.route.backends.backend import BackendError
from pilotage.route.backends.build import build_tiers
from pilotage.route.handler.application import COST_HEADER, Application
from pilotage.route.handler.config import HandlerConfig
from pilotage.route.handler.costs import Costs, cost_text
from pilotage.route.handler.event import LAMBDA_PAYLOAD, EventKind, Request, kind_of, read_event
from pilotage.route.handler.log_sink import log, log_failure
from pilotage.route.handler.record import open_record
from pilotage.route.handler.refusal import Refusal, internal, sentence
from pilotage.route.handler.reply import Reply, in_form
from pilotage.route.rejection import Rejection
from pilotage.spec.loader import load

_API_KINDS: Final = frozenset({EventKind.HTTP_API, EventKind.REST_API})


class Context(Protocol):
    """What the function uses of the context that Lambda gives it."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation."""
        ...


class Container:
    """Answers events, one at a time.

    Args:
        environ: Environment variables: the function's configuration, keys and addresses.

    Raises:
        PilotageError: The configuration or the spec is wrong, or a key is missing.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        config = HandlerConfig.read(environ)
        deployment = load(config.spec, config.deployment)
        routing = deployment.routing
        if routing is None:
            raise SpecError(
                "there is no routing: section, which says what the function answers with",
                where=str(config.spec),
                hint="Add one with a tier",
            )
        self._config = config
        self._timeout_s = routing.timeout
        # serving.max_body is about the gateway unless somebody says otherwise.
        given = "max_body" in deployment.serving.model_fields_set
        self._most_bytes = min(LAMBDA_PAYLOAD, deployment.serving.max_body if given else math.inf)
        self._record = open_record(routing.ledger, environ)
        self._costs = Costs(self._record)
        self._tiers = build_tiers(routing, sink=self._costs, environ=environ)
        self._router = assemble(routing, environ=environ, sink=self._costs, tiers=self._tiers)
        self._application = Application(config, routing, self._router, self._costs)
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()

    def answer(self, event: Any, context: Context | None) -> dict[str, Any]:
        """The response to an event, in the form of its kind; every failure is one, too."""
        started = time.monotonic()
        kind = kind_of(event)
        request_id = request_id_of(context)
        with self._lock:
            # When the caller is answered, and when Lambda ends the function, with what it has yet
            # to write down.
            end = started + _remaining(context, self._timeout_s)
            deadline = started + self._patience(kind, context)
            reply = self._reply(event, kind, request_id, deadline)
            cost = cost_text(self._costs.of(request_id))
            self._finish(end)
        log(
            "pilotage.request",
            request_id=request_id,
            kind=kind,
            status=reply.status,
            duration_s=round(time.monotonic() - started, 4),
            cost_usd=cost,
        )
        headers = {"x-request-id": request_id, COST_HEADER: cost, **reply.headers}
        # What failed may have cost something nevertheless.
        account = (
            {} if "pilotage" in reply.body or cost == "0" else {"pilotage": {"cost_usd": cost}}
        )
        return in_form(replace(reply, body={**reply.body, **account}, headers=headers), kind)

    def close(self) -> None:
        """Let go of everything; for tests, for Lambda just ends a container."""
        self._loop.run_until_complete(self._close())
        self._loop.close()
        self._record.close()

    async def _close(self) -> None:
        await self._router.close()
        for tier in self._tiers.values():
            await tier.close()

    def _patience(self, kind: EventKind, context: Context | None) -> float:
        """Seconds that a request may take: what is left to the function, less a margin."""
        patience = min(self._timeout_s, _less_margin(_remaining(context, math.inf)))
        if kind in _API_KINDS:
            patience = min(patience, _less_margin(self._config.api_timeout_s))
        return patience

    def _reply(self, event: Any, kind: EventKind, request_id: str, deadline: float) -> Reply:
        try:
            request = read_event(
                event, base_path=self._config.base_path, most_bytes=int(self._most_bytes)
            )
            return self._loop.run_until_complete(self._within(request, request_id, deadline))
        except Refusal as refusal:
            return Reply.of(refusal)
        except Rejection as rejection:
            return Reply.of(
                Refusal(
                    sentence(rejection.message),
                    status=rejection.status,
                    code=rejection.code,
                    param=rejection.param,
                )
            )
        except BackendError as error:
            log(
                "pilotage.backend_error",
                request_id=request_id,
                fault=error.fault,
                message=error.message,
                status=error.status,
            )
            return Reply.of(Refusal.of(error))
        except Exception as error:  # noqa: BLE001  a client never sees a stack trace
            log_failure(request_id, error)
            return Reply.of(internal(request_id))

    async def _within(self, request: Request, request_id: str, deadline: float) -> Reply:
        spare = deadline - time.monotonic()
        if spare <= 0:
            raise _too_late()
        try:
            # The router keeps the deadline by itself; half a margin later it is made to.
            async with asyncio.timeout(spare + _margin(spare) / 2):
                return await self._application.answer(request, request_id, deadline)
        except TimeoutError:
            raise _too_late() from None

    def _finish(self, end: float) -> None:
        """What has to be done before Lambda freezes the container, or ends it."""
        self._loop.run_until_complete(self._idle(end))
        if not self._record.flush(max(0.0, _less_margin(end - time.monotonic()))):
            log("pilotage.ledger_late", message="attempts are not in the ledger yet")
        self._costs.clear()

    async def _idle(self, end: float) -> None:
        """Let shadows and audits end; in a frozen container they would die with their connections.

        Only requests that a share falls on wait for that.
        """
        try:
            async with asyncio.timeout(_less_margin(end - time.monotonic())):
                await self._router.idle()
        except TimeoutError:
            await self._router.close()


def request_id_of(context: Context | None) -> str:
    """Lambda's id of the invocation; one of our own where there is none."""
    given = getattr(context, "aws_request_id", None)
    return given if isinstance(given, str) and given else str(uuid.uuid4())


def _remaining(context: Context | None, default: float) -> float:
    """Seconds until Lambda ends the function."""
    if context is None:
        return default
    return max(0.0, context.get_remaining_time_in_millis() / 1000)


def _margin(seconds: float) -> float:
    """What is kept back of some seconds, to answer and to write the ledger."""
    return min(1.0, 0.1 * seconds)


def _less_margin(seconds: float) -> float:
    return seconds - _margin(seconds)


def _too_late() -> Refusal:
    return Refusal(
        "The answer did not come in time. Ask for a shorter one, or give the function more time.",
        status=504,
        code="timeout",
    )
