"""What is found out about a request after it was answered: shadows and audits.

A share of the requests is also answered by the last tier (shadows: what would it have cost, how
many tokens would it have used), and a share of the accepted answers is judged (audits: are they as
good as was predicted). Both happen in the background, after the answer has gone out; they never
delay a request and never fail one.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final

from pilotage.route.answer import Answer
from pilotage.route.attempt import Role
from pilotage.route.backends.backend import BackendError
from pilotage.route.backends.tier import Tier
from pilotage.route.call import Call
from pilotage.route.drift import Alert, Drift
from pilotage.route.verifiers.asking import whole_answer
from pilotage.route.verifiers.judge import Judge
from pilotage.spec.routing import RoutingSpec

_MOST: Final = 32
"""Shadows and audits at once; when the tiers are too slow for more, further ones are left out."""

_log = logging.getLogger("pilotage.route")


class Afterwards:
    """Shadows and audits of the requests that their shares fall on.

    Args:
        routing: Shares.
        best: The tier that shadows.
        judge: Who audits.
        salt: Of `falls_on`.
        on_alert: Told when audits say that answers are not what was predicted.
    """

    def __init__(
        self,
        routing: RoutingSpec,
        best: Tier,
        judge: Judge,
        salt: bytes,
        on_alert: Callable[[Alert], None] | None,
    ) -> None:
        self._routing = routing
        self._best = best
        self._judge = judge
        self._drift = Drift()
        self._salt = salt
        self._on_alert = on_alert
        self._tasks: set[asyncio.Task[None]] = set()
        self._full = False

    def consider(self, call: Call, tier: str, answer: Answer, predicted: float | None) -> None:
        """Begin a shadow or an audit of a request that was answered, if its turn has come.

        Args:
            call: The request.
            tier: Who answered.
            answer: What.
            predicted: The score that the answer was taken at; None if it was not scored.
        """
        routing = self._routing
        if tier != self._best.name and self._falls_on(call, b"shadow", routing.shadow_share):
            self._start(self._shadow(self._later(call), tier))
        if self._falls_on(call, b"audit", routing.judge_share):
            self._start(self._audit(self._later(call), tier, answer, predicted))

    async def idle(self) -> None:
        """Wait until none is running."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Cancel those that are running, and wait for their rows."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _falls_on(self, call: Call, purpose: bytes, share: float) -> bool:
        # Shares of different purposes fall on requests independently.
        return share > 0 and falls_on(call.request_id, self._salt + purpose, share)

    def _later(self, call: Call) -> Call:
        return replace(call, deadline=time.monotonic() + self._routing.timeout)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._tasks) >= _MOST:
            if not self._full:
                self._full = True
                _log.warning("%s shadows and audits are running; others are left out", _MOST)
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._full = self._full and bool(self._tasks)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a shadow or an audit ended with %s", type(error).__name__)

    async def _shadow(self, call: Call, tier: str) -> None:
        stream = self._best.answer(call, role=Role.SHADOW, decision=f"shadows {tier}")
        try:
            await whole_answer(stream)
        except BackendError as error:
            _log.info("no shadow: %s", error.fault)

    async def _audit(self, call: Call, tier: str, answer: Answer, predicted: float | None) -> None:
        said = await self._judge.judge(call, answer, tier, role=Role.AUDIT)
        if said.score is None or predicted is None:
            return
        alert = self._drift.observe(tier, predicted, said.score)
        if alert is None:
            return
        _log.warning("%s", alert)
        if self._on_alert is not None:
            self._on_alert(alert)


def falls_on(request_id: str, salt: bytes, share: float) -> bool:
    """Whether a request is among a share of them; with one salt it always is, or never.

    Args:
        request_id: Of the request.
        salt: Which share it is.
        share: 0 for none, 1 for all.
    """
    digest = hashlib.sha256(salt + b"\0" + request_id.encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64
