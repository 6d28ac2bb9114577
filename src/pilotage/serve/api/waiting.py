"""Waiting for work of a request, for as long as its client waits and its time is not up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from pilotage.serve.api.context import GatewayContext
from pilotage.serve.api.errors import ApiError, ClientGone
from pilotage.serve.api.exchange import Exchange

T = TypeVar("T")


async def while_waited_for(
    context: GatewayContext, request: Request, work: Coroutine[Any, Any, T]
) -> T:
    """The result of `work`, which is cancelled when nobody waits for it any more.

    Args:
        context: The gateway's.
        request: The request; all of its body has been read.
        work: What to wait for.

    Raises:
        ApiError: It takes longer than a request may (504).
        ClientGone: The client hung up.
    """
    exchange = Exchange.of(request.scope)
    limit = context.limits.request_timeout_s
    doing = asyncio.create_task(work)
    gone = asyncio.create_task(_hung_up(request))
    try:
        await asyncio.wait(
            {doing, gone},
            timeout=max(0.0, exchange.arrived + limit - time.monotonic()),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if doing.done():
            return doing.result()
        if gone.done():
            exchange.finish_reason = "cancelled"
            raise ClientGone
        message = f"The answer was not complete within {limit:g} s."
        raise ApiError(message, status=504, code="request_timeout")
    finally:
        for task in (doing, gone):
            task.cancel()
        await asyncio.gather(doing, gone, return_exceptions=True)


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
