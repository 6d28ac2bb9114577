"""The gateway's side of an engine that is a server of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from pilotage.engines.engine import EngineInfo
from pilotage.serve.control import ModelState
from pilotage.serve.external.endpoint import Endpoint, look_up
from pilotage.serve.external.engine_metrics import EngineCounts, counts_of
from pilotage.serve.external.prompt_admission import (
    BackendLoad,
    Mean,
    PrefillMeter,
    retry_after,
)
from pilotage.serve.generation import Overloaded, Unavailable

_LOOK_S: Final = 0.1
_METRICS_S: Final = 1.0
_METRICS_TIMEOUT_S: Final = 2.0
_CONNECT_S: Final = 5.0
_SEND_S: Final = 60.0
_IDLE_CONNECTIONS: Final = 64
_FIRST_BYTES_PER_TOKEN: Final = 4.0
_DEFAULT_LOAD_S: Final = 30.0
_LONGEST_METRICS: Final = 4 << 20
_log = logging.getLogger("pilotage.gateway")


class EngineLost(Exception):
    """The engine's connection broke; ``sent`` of its answer had arrived by then."""


@dataclass(eq=False)
class Ticket:
    """A request that was admitted, until it is over.

    Attributes:
        tokens: Its prompt tokens, as far as that can be told before the engine has counted them.
        sequences: Sequences it asks for.
        admitted_at: When, on the event loop's clock.
        started_at: When the engine began to work on it: its first byte, or, where the answer
            comes as a whole, about when nothing waited in the engine any more.
    """

    tokens: float
    sequences: int
    admitted_at: float
    started_at: float | None = None
    in_backlog: bool = True
    answered: bool = False


class ExternalBackend:
    """Forwards requests to one engine's server, as many as it can answer in time.

    Args:
        name: The model's name.
        endpoint: File in which its keeper says where it answers.
        ttft_target_s: What admission holds.
        patience_s: How long a request waits for an engine that is being started again.
    """

    def __init__(
        self, name: str, endpoint: Path, *, ttft_target_s: float, patience_s: float
    ) -> None:
        self.name = name
        self.draining = False
        self._path = endpoint
        self._ttft_target_s = ttft_target_s
        self._patience_s = patience_s
        self._endpoint: Endpoint | None = None
        self._client: httpx.AsyncClient | None = None
        self._last_info: EngineInfo | None = None
        self._down_since: float | None = None
        self._changed = asyncio.Event()
        self._tickets: set[Ticket] = set()
        self._meter = PrefillMeter(1.0)
        self._request_s = Mean()
        self._bytes_per_token = Mean(_FIRST_BYTES_PER_TOKEN)
        self.counts: EngineCounts | None = None
        self.metrics_text = ""
        self._asked_at = 0.0

    # How it is --------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether it answers now."""
        return self._endpoint is not None

    @property
    def state(self) -> ModelState:
        """For operators."""
        return "ready" if self.up else "loading"

    @property
    def running(self) -> int:
        """Sequences in flight."""
        return sum(ticket.sequences for ticket in self._tickets)

    @property
    def prefill_tokens_per_s(self) -> float:
        """How fast it reads prompts, as admission counts on it."""
        return self._meter.tokens_per_s

    def info(self) -> EngineInfo | None:
        """What it can hold, as last told; None before it was ready."""
        return self._last_info

    def names(self) -> tuple[str, ...]:
        """Names it answers to: the model's, then its adapters'."""
        return (self.name,) if self._endpoint is None else self._endpoint.names

    # Admission --------------------------------------------------------------------------------

    def estimate(self, prompt_bytes: int, prompt_ids: int) -> float:
        """Tokens of a prompt of so many bytes of text and so many token ids."""
        return prompt_ids + prompt_bytes / self._bytes_per_token.value

    def counted(self, prompt_bytes: int, prompt_tokens: int) -> None:
        """The engine counted a text's tokens: the next estimate will be better."""
        if prompt_bytes >= 64 and prompt_tokens > 0:
            self._bytes_per_token.add(min(16.0, max(0.5, prompt_bytes / prompt_tokens)))

    @asynccontextmanager
    async def admitted(self, tokens: float, sequences: int) -> AsyncIterator[Ticket]:
        """Admit a request for as long as the context lasts.

        Raises:
            Overloaded: The TTFT target could not be held.
            Unavailable: The engine does not answer, or the server is shutting down.
        """
        self._check_up()
        wait_s = retry_after(self._load(), tokens, sequences, self._ttft_target_s)
        if wait_s is not None:
            raise Overloaded(
                f"the engine is at capacity: the first token would come too late for the target "
                f"of {self._ttft_target_s:g} s",
                retry_after_s=wait_s,
            )
        ticket = Ticket(tokens, sequences, self._now())
        self._tickets.add(ticket)
        try:
            yield ticket
        finally:
            self._tickets.discard(ticket)
            if ticket.answered:
                began = ticket.admitted_at if ticket.started_at is None else ticket.started_at
                self._request_s.add(self._now() - began)

    def began(self, ticket: Ticket, *, whole: bool = False) -> None:
        """A request's answer has begun, or is there as a whole: its prompt is through."""
        ticket.in_backlog = False
        ticket.answered = True
        if ticket.started_at is None and not whole:
            ticket.started_at = self._now()

    def _load(self) -> BackendLoad:
        info = self._last_info
        return BackendLoad(
            sequences=self.running,
            slots=info.max_num_seqs if info is not None else 1,
            backlog_tokens=sum(one.tokens for one in self._tickets if one.in_backlog),
            prefill_tokens_per_s=self._meter.tokens_per_s,
            request_s=self._request_s.value,
        )

    def _check_up(self) -> None:
        if self.draining:
            raise Unavailable(
                "the server is shutting down", retry_after_s=None, code="server_draining"
            )
        if self._endpoint is None:
            raise self.unavailable()

    def unavailable(self) -> Unavailable:
        """Why there is nobody to answer, and when to come back."""
        if self._last_info is None:
            return Unavailable(
                "the model is still loading", retry_after_s=_DEFAULT_LOAD_S, code="model_loading"
            )
        gone = 0.0 if self._down_since is None else self._now() - self._down_since
        return Unavailable(
            "the engine is being started again",
            retry_after_s=max(1.0, self._last_info.load_s - gone),
            code="no_worker",
        )

    # Forwarding -------------------------------------------------------------------------------

    @asynccontextmanager
    async def post(self, path: str, body: bytes) -> AsyncIterator[httpx.Response]:
        """The engine's answer to a request, its body yet to be read.

        Leaving the context closes the connection if the answer is not complete, which makes the
        engine stop working on it.

        Raises:
            EngineLost: It could not be reached, or broke off before its answer began.
        """
        client, endpoint = self._client, self._endpoint
        if client is None or endpoint is None:
            raise EngineLost
        request = client.build_request(
            "POST",
            path,
            content=body,
            headers={
                "authorization": f"Bearer {endpoint.api_key}",
                "content-type": "application/json",
                "accept-encoding": "identity",
            },
        )
        try:
            response = await client.send(request, stream=True)
        except (httpx.TransportError, httpx.InvalidURL, RuntimeError) as error:
            self._lose(endpoint)
            raise EngineLost from error
        try:
            yield response
        finally:
            await response.aclose()

    async def back_again(self) -> bool:
        """Wait, not for long, for an engine that was lost; whether it is back."""
        deadline = self._now() + self._patience_s
        while not self.up and not self.draining:
            left = deadline - self._now()
            if left <= 0:
                return False
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)
        return self.up

    def _lose(self, endpoint: Endpoint) -> None:
        """The connection failed: believe so until the keeper says otherwise."""
        if self._endpoint is endpoint and look_up(self._path) != endpoint:
            self._set(None)

    # Following --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the engine's lives and its metrics, for as long as the gateway lives."""
        next_metrics = 0.0
        while True:
            found = look_up(self._path)
            if found != self._endpoint:
                self._set(found)
            if self._endpoint is not None and self._now() >= next_metrics:
                await self._refresh(self._endpoint)
                next_metrics = self._now() + _METRICS_S
            await asyncio.sleep(_LOOK_S)

    def _set(self, endpoint: Endpoint | None) -> None:
        old, self._client = self._client, None
        if old is not None:
            # Streams in it end by themselves when the engine is gone.
            task = asyncio.ensure_future(old.aclose())
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._endpoint = endpoint
        self.counts = None
        self.metrics_text = ""
        if endpoint is None:
            self._down_since = self._now()
            _log.warning("the engine of %s does not answer", self.name)
        else:
            self._down_since = None
            self._last_info = endpoint.info
            self._meter = PrefillMeter(endpoint.info.prefill_tokens_per_s)
            self._client = _client(endpoint)
        self._changed.set()

    async def _refresh(self, endpoint: Endpoint) -> None:
        asked_at = self._now()
        client = self._client
        if client is None:
            return
        try:
            answer = await client.get(
                "/metrics",
                headers={"authorization": f"Bearer {endpoint.api_key}"},
                timeout=_METRICS_TIMEOUT_S,
            )
        except (httpx.HTTPError, RuntimeError):
            return  # the keeper judges whether it hangs
        if answer.status_code != 200 or len(answer.content) > _LONGEST_METRICS:
            return
        self.metrics_text = answer.text
        self.counts = counts = counts_of(answer.text)
        before, self._asked_at = self._asked_at, asked_at
        if counts is None:
            return
        self._meter.saw(self._now(), counts.prompt_tokens, counts.waiting)
        if not counts.waiting:
            # Nothing waits in the engine: what was sent before is being generated, also where
            # nothing tells so because the answer comes as a whole.
            for ticket in self._tickets:
                if ticket.admitted_at < asked_at:
                    ticket.in_backlog = False
                    if ticket.started_at is None:
                        ticket.started_at = max(ticket.admitted_at, before)

    def labels(self) -> Mapping[str, str]:
        """What its metrics are labelled with."""
        return {"model": self.name}

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _client(endpoint: Endpoint) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(
            uds=endpoint.socket,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=_IDLE_CONNECTIONS),
        ),
        base_url=endpoint.base_url,
        # No bound on reading: a request has its own, and a long prefill is silent.
        timeout=httpx.Timeout(None, connect=_CONNECT_S, write=_SEND_S),
        trust_env=False,
        follow_redirects=False,
    )
