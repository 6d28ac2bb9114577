"""A request's body as it arrives, for the bodies that are too long to be held in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import ClientDisconnect, Request

from pilotage.serve.api.errors import ApiError, ClientGone

_IDLE_S: Final = 60.0
_PIECE: Final = 1 << 17
"""So long that handling it takes well under a millisecond."""


async def body_pieces(request: Request, longest_s: float) -> AsyncIterator[memoryview]:
    """The body in pieces of at most 128 KiB; others get their turn between two of them.

    Args:
        request: Whose body it is.
        longest_s: Seconds that all of it may take.

    Raises:
        ApiError: It does not arrive (408), or it is too long (413, from the middleware).
        ClientGone: The client hung up.
    """
    now = asyncio.get_running_loop().time
    until = now() + longest_s
    stream = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout_at(min(until, now() + _IDLE_S)):
                chunk = await anext(stream, None)
        except ClientDisconnect:
            raise ClientGone from None
        except TimeoutError:
            raise _late() from None
        if chunk is None:
            return
        view = memoryview(chunk)
        for start in range(0, len(view), _PIECE):
            if start:
                await asyncio.sleep(0)
            yield view[start : start + _PIECE]


def _late() -> ApiError:
    return ApiError(
        "The request's body did not arrive in time.",
        status=408,
        code="request_timeout",
        headers={"connection": "close"},
    )
