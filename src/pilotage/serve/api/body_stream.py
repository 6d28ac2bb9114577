"""A request's body as it arrives, for the bodies that are too long to be held in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import ClientDisconnect, Request

from pilotage.serve.api.errors import ApiError, ClientGone

_IDLE_S: Final = 60.0


async def body_pieces(
    request: Request, longest_s: float, turns: asyncio.Semaphore
) -> AsyncIterator[bytes]:
    """The body in the pieces in which it arrives, a few hundred KiB at most.

    Taking a piece costs up to half a millisecond of the event loop, most of it inside uvicorn. So
    that many uploads at once do not add up to a stall, only so many bodies as `turns` admits go
    on reading in one iteration of the loop. Waiting for a slow client takes no turn.

    Args:
        request: Whose body it is.
        longest_s: Seconds that all of it may take.
        turns: Shared by all bodies.

    Raises:
        ApiError: It does not arrive (408), or it is too long (413, from the middleware).
        ClientGone: The client hung up.
    """
    now = asyncio.get_running_loop().time
    until = now() + longest_s
    stream = aiter(request.stream())
    while True:
        async with turns:
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout_at(min(until, now() + _IDLE_S)):
                chunk = await anext(stream, None)
        except ClientDisconnect:
            raise ClientGone from None
        except TimeoutError:
            raise _late() from None
        if chunk is None:
            return
        yield chunk


def _late() -> ApiError:
    return ApiError(
        "The request's body did not arrive in time.",
        status=408,
        code="request_timeout",
        headers={"connection": "close"},
    )
