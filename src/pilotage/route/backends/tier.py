"""A tier: backends that stand in for one another."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence

from pilotage.route.attempt import AttemptSink, Role
from pilotage.route.backends.account import Account
from pilotage.route.backends.asking import ChatQuestion, Forwarder, RawQuestion
from pilotage.route.backends.attempt_stream import AttemptStream, RawStream
from pilotage.route.backends.backend import Backend
from pilotage.route.backends.health import BackendHealth, Member
from pilotage.route.backends.one_try import Desk
from pilotage.route.backends.pace import Pace
from pilotage.route.call import Call
from pilotage.route.pricing import TierPrice
from pilotage.spec.tiers import TierSpec


class Tier:
    """Asks one of its backends, and others where that is safe.

    Args:
        spec: Names, weights, limits.
        backends: In the order of ``spec.backends``.
        price: What its tokens cost.
        sink: Gets exactly one row an attempt.
        clock: Monotonic seconds, the clock of `Call.deadline`.
        uniform: `random.uniform`, for waits between attempts; tests replace it.

    Attributes:
        name: The spec's.
        price: What its tokens cost.
    """

    def __init__(
        self,
        spec: TierSpec,
        backends: Sequence[Backend],
        price: TierPrice,
        sink: AttemptSink,
        *,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.name = spec.name
        self.price = price
        self._sink = sink
        members = tuple(
            Member(backend, one, one.model or one.endpoint or spec.name, clock)
            for backend, one in zip(backends, spec.backends, strict=True)
        )
        self._desk = Desk(
            spec=spec,
            members=members,
            price=price,
            pace=Pace(spec.rate, clock),
            clock=clock,
            uniform=uniform,
        )
        self._forwards = all(isinstance(backend, Forwarder) for backend in backends)

    @property
    def available(self) -> bool:
        """Whether some backend may be asked now."""
        return any(member.available for member in self._desk.members)

    @property
    def forwards(self) -> bool:
        """Whether all its backends can pass bytes on: `forward`."""
        return self._forwards

    @property
    def health(self) -> tuple[BackendHealth, ...]:
        """How each backend does, for metrics and operators."""
        return tuple(member.health for member in self._desk.members)

    def answer(
        self,
        call: Call,
        *,
        role: Role = Role.ANSWER,
        decision: str = "",
        deferred: bool = False,
    ) -> AttemptStream:
        """An answer, which begins when it is iterated.

        Args:
            call: The request. After its deadline nothing is tried.
            role: What for, as far as is known.
            decision: Why, as far as is known.
            deferred: Write the last attempt's row not at its end but when it is settled.

        Returns:
            Its chunks. The iteration raises `BackendError`: OVERLOADED, with a time after which
            to come back, if no backend may be asked.
        """
        account = Account(self._sink, role, decision)
        return AttemptStream(self._desk, ChatQuestion(call), account, deferred=deferred)

    def forward(
        self,
        body: bytes,
        *,
        stream: bool,
        request_id: str,
        key_id: str | None = None,
        deadline: float = float("inf"),
        role: Role = Role.ANSWER,
        decision: str = "",
    ) -> RawStream:
        """An answer as the backend sends it, retried and accounted for like any other.

        Args:
            body: The client's whole JSON body; its ``model`` becomes the backend's.
            stream: Whether it asks for a stream.
            request_id: Of the request.
            key_id: The API key that pays.
            deadline: On the tier's clock.
            role: What for.
            decision: Why.

        Returns:
            Its bytes. The iteration raises `BackendError`, before anything was passed on or after.
        """
        question = RawQuestion(
            body,
            stream=stream,
            request_id=request_id,
            key_id=key_id,
            deadline=deadline,
            priced_images=bool(self.price.image),
        )
        return RawStream(self._desk, question, Account(self._sink, role, decision))

    async def close(self) -> None:
        """Let go of the backends' connections."""
        await asyncio.gather(*(member.backend.close() for member in self._desk.members))
