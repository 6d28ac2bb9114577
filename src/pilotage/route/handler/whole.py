"""A routed answer read to its end."""

from __future__ import annotations

from pilotage.route.call import Call
from pilotage.route.routed_answer import RoutedAnswer
from pilotage.route.router import Router


async def whole(router: Router, call: Call, model: str) -> RoutedAnswer:
    """Ask a router and wait for all of the answer; cancelling it cancels all attempts.

    Raises:
        Rejection: The router does not take the request.
        BackendError: No tier has answered, or the answer broke off.
    """
    routed = await router.answer(call, model=model, stream=False)
    try:
        async for _ in routed:
            pass
    finally:
        await routed.aclose()
    return routed
