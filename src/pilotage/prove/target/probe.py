"""How large a request may be: the largest body that a server accepts, found by trying.

The body is a small request, padded with white space between JSON tokens (RFC 8259, section 2: it
means nothing there), or an image with a chunk that decoders pass over. So it is the limit on bytes
that is met, at the server or a gateway in front of it, and never the model's context length.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final

from pilotage.errors import TargetError
from pilotage.prove.payload import Payload
from pilotage.prove.target.endpoint import Endpoint
from pilotage.prove.target.exchange import NoReplyError, Reply, Session
from pilotage.prove.target.refusal import not_an_answer, refused, said
from pilotage.prove.target.small_request import Dialect, small_request
from pilotage.units import format_size

_FIRST: Final = 64 * 1024
_PRECISION: Final = 0.02
_PAUSE_S: Final = 0.5
_TOO_LARGE = re.compile(r"\btoo (large|big|long)\b|\bexceed|\blimit\b|\bmaximum\b|\bsize\b", re.I)


@dataclass(frozen=True, slots=True)
class MaxPayload:
    """The largest request body that a server accepts.

    Attributes:
        bytes: Size of the largest body that was accepted; None if not even a small one was.
        is_bound: Whether the probe stopped there without meeting the server's limit.
        note: Why it stopped, if neither at a limit nor at its own cap.
    """

    bytes: int | None
    is_bound: bool
    note: str | None = None


class _EndError(Exception):
    """The probe cannot go on; says why."""


async def probe_max_payload(
    endpoint: Endpoint,
    *,
    dialect: Dialect | None = None,
    cap: int = 64 * 1024 * 1024,
    timeout_s: float,
) -> MaxPayload:
    """The largest body that ``endpoint`` accepts, to 2 %.

    Doubles the size until it is refused, then bisects. Uploads at most twice ``cap`` on the way up
    and six more bodies. A failure ends the probe with what is known by then.

    Args:
        endpoint: Whom to ask; its model must be known.
        dialect: Which fields it takes, as the preflight found.
        cap: Bytes to stop at.
        timeout_s: Seconds for all requests together.
    """
    probe = _Probe(endpoint, dialect or Dialect(), timeout_s)
    try:
        await probe.run(cap)
    except _EndError as end:
        return MaxPayload(probe.accepted, is_bound=probe.refused is None, note=str(end))
    return MaxPayload(probe.accepted, is_bound=probe.refused is None)


class _Probe:
    """A search under way.

    Attributes:
        accepted: Largest size that was accepted so far.
        refused: Smallest that was not.
    """

    def __init__(self, endpoint: Endpoint, dialect: Dialect, timeout_s: float) -> None:
        self.accepted: int | None = None
        self.refused: int | None = None
        self._endpoint = endpoint
        self._dialect = dialect
        self._session = Session(endpoint, timeout_s=timeout_s)

    async def run(self, cap: int) -> None:
        if not await self._accepts(0) or self.accepted is None:
            raise _EndError("the server refused a small request as too large")
        size = _FIRST
        while self.accepted < cap and await self._accepts(min(size, cap)):
            size *= 2
        while self.refused and self.refused - self.accepted > _PRECISION * self.refused:
            await self._accepts((self.accepted + self.refused) // 2)

    async def _accepts(self, size: int) -> bool:
        """Whether a body of ``size`` bytes is accepted; 0 is the smallest there is."""
        payload = self._payload(size)
        size = len(payload.body)
        try:
            fits = self._fits(await self._patiently(payload), size)
        except NoReplyError as error:
            # A server may well hang up on a body that it does not want, but not on a small one.
            if error.outcome != "broken" or self.accepted is None:
                raise _EndError(f"at {_shown(size)}: {error.message}") from None
            await self._check_alive(size)
            fits = False
        if fits:
            self.accepted = size
        else:
            self.refused = size
        return fits

    def _payload(self, size: int) -> Payload:
        return small_request(
            self._endpoint, "Hi", stream=False, dialect=self._dialect, max_tokens=1, size=size
        )

    async def _patiently(self, payload: Payload) -> Reply:
        while True:
            reply = await self._session.post(payload)
            pause = reply.answer.retry_after_s or _PAUSE_S
            if reply.status not in {429, 503} or pause >= self._session.left_s:
                return reply
            await asyncio.sleep(pause)

    def _fits(self, reply: Reply, size: int) -> bool:
        if reply.status == 413:
            return False
        if reply.status in {400, 422, 431} and _TOO_LARGE.search(said(reply)):
            return False
        error: TargetError | None
        error = not_an_answer(reply) if reply.status == 200 else refused(reply, self._endpoint)
        if error:
            raise _EndError(f"at {_shown(size)}: {error.message}")
        return True

    async def _check_alive(self, size: int) -> None:
        """Tell a server that hangs up on a large body from one that it has killed."""
        try:
            await self._session.post(self._payload(0))
        except NoReplyError:
            raise _EndError(f"the server went away at a body of {_shown(size)}") from None


def _shown(size: int) -> str:
    return format_size(size, digits=3)
