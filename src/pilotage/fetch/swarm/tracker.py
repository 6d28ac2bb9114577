"""The tracker: a small HTTP service at which the nodes of many swarms meet.

::

    POST /v1/sync     a Report as JSON; answers with a View, at once or when there is news
    GET  /health      how many swarms and nodes there are; no names

It carries no model bytes, only who is there, piece hashes, and leases. All its state is rebuilt
from the nodes' reports within seconds of a restart.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import socket
import threading
import time
from contextlib import suppress
from typing import Final

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pilotage.errors import ResourceError, UsageError
from pilotage.fetch.swarm.messages import MAX_BODY, Report, View, decode_report
from pilotage.fetch.swarm.state import FullError, SwarmState

MAX_SWARMS: Final = 256
KEEP_S: Final = 3600.0
"""Seconds that a swarm without reports is remembered, if the room is not needed."""

DEFAULT_PORT: Final = 6880


class Tracker:
    """The service's state and its answers.

    Args:
        token: What nodes must show; empty asks for nothing.
        quota: Nodes of one swarm that may pull from the origin at once.
    """

    def __init__(self, *, token: str = "", quota: int = 1) -> None:
        self._token = token.encode()
        self._quota = quota
        self._swarms: dict[str, SwarmState] = {}
        self._news: dict[str, asyncio.Event] = {}
        self.app = Starlette(
            routes=[
                Route("/v1/sync", self._sync, methods=["POST"]),
                Route("/health", self._health, methods=["GET"]),
            ]
        )

    async def _sync(self, request: Request) -> Response:
        if not self._is_allowed(request):
            return _refusal(401, "the token is missing or wrong")
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY:
                return _refusal(413, "the report is too large")
        host = request.client.host if request.client else ""
        try:
            report = decode_report(bytes(body))
            ipaddress.ip_address(report.host or host)
            view = await self._answer(report, host)
        except ValueError as error:  # msgspec's errors are of this kind
            return _refusal(400, f"not a report: {error}")
        except FullError:
            return _refusal(503, "the tracker is full")
        except asyncio.CancelledError:  # it waited for news, and the server ends
            return _refusal(503, "the tracker is stopping")
        return Response(msgspec.json.encode(view), media_type="application/json")

    async def _answer(self, report: Report, host: str) -> View:
        state = self._swarm(report)
        state.take(report, host, time.monotonic())
        self._wake(report.swarm)
        deadline = time.monotonic() + report.wait_s
        while True:
            view = state.view(report)
            remaining = deadline - time.monotonic()
            gone = report.node not in state
            if remaining <= 0 or gone or _is_news(report, view):
                return view
            event = self._news.setdefault(report.swarm, asyncio.Event())
            with suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), remaining)

    def _wake(self, swarm: str) -> None:
        if event := self._news.pop(swarm, None):
            event.set()

    def _swarm(self, report: Report) -> SwarmState:
        now = time.monotonic()
        state = self._swarms.get(report.swarm)
        if state is None:
            for name in [n for n, s in self._swarms.items() if now - s.touched > KEEP_S]:
                del self._swarms[name]
            if len(self._swarms) >= MAX_SWARMS:
                raise FullError
            state = self._swarms[report.swarm] = SwarmState(report.chunks, quota=self._quota)
        if state.chunks != report.chunks:
            raise ValueError("this swarm's model has another number of chunks")
        return state

    async def _health(self, _: Request) -> Response:
        return JSONResponse(
            {"swarms": len(self._swarms), "nodes": sum(len(s) for s in self._swarms.values())}
        )

    def _is_allowed(self, request: Request) -> bool:
        if not self._token:
            return True
        shown = request.headers.get("authorization", "").encode()
        return hmac.compare_digest(shown, b"Bearer " + self._token)


class TrackerServer:
    """A tracker on a port, in a thread of its own or in the foreground.

    Args:
        host: Address to listen on.
        port: Its port; 0 takes a free one.
        token: What nodes must show.
        quota: Nodes of one swarm that may pull from the origin at once.

    Raises:
        UsageError: Others could reach it and there is no token.
        ResourceError: The port cannot be had.
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int = DEFAULT_PORT, *, token: str = "", quota: int = 1
    ) -> None:
        if not token and not ipaddress.ip_address(host).is_loopback:
            raise UsageError(
                "a tracker that others can reach needs a token",
                where=f"{host}:{port}",
                hint="Set PILOTAGE_SWARM_TOKEN to a secret that all nodes share, or listen on "
                "127.0.0.1",
            )
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
            self._socket.listen(1024)  # who comes before the loop runs waits
        except OSError as error:
            self._socket.close()
            raise ResourceError(
                f"the tracker cannot listen: {error.strerror or error}", where=f"{host}:{port}"
            ) from error
        self.port: int = self._socket.getsockname()[1]
        self.host = host
        config = uvicorn.Config(
            Tracker(token=token, quota=quota).app,
            log_level="critical",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """What nodes put into ``PILOTAGE_SWARM_TRACKER``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def run(self) -> None:
        """Serve until a signal."""
        self._server.run(sockets=[self._socket])

    def start(self) -> TrackerServer:
        """Serve in a thread."""
        self._thread = threading.Thread(target=self.run, name="swarm-tracker", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the thread."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()
        self._socket.close()


def _is_news(report: Report, view: View) -> bool:
    return bool(
        view.chunks
        or view.lacks
        or view.peers_tag != report.peers_tag
        or (view.grant is not None and view.grant != report.pulling)
    )


def _refusal(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status_code=status)
