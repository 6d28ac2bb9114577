"""Looks at a server's ``/metrics`` while a test runs: gently, and without ever failing the test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import httpx

from pilotage.prove.result import ServerSide
from pilotage.prove.server_side.look import Look, NotMetricsError, read_look
from pilotage.prove.server_side.summary import summarise
from pilotage.units import printable

MAX_BODY_BYTES: Final = 4 << 20
"""A server's metrics are a few hundred KiB; what is longer is something else."""

_ACCEPT: Final = {"accept": "text/plain; version=0.0.4", "accept-encoding": "identity"}
_COME_BACK: Final = (408, 425, 429)
_TROUBLE: Final = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError)


def metrics_url(base: str) -> str:
    """Where the metrics of a server are by custom: beside ``/v1``, not below it.

    ``http://host:8000/v1`` → ``http://host:8000/metrics``.
    """
    parts = urlsplit(base)
    path = parts.path.rstrip("/").removesuffix("/v1")
    return urlunsplit((parts.scheme, parts.netloc, f"{path}/metrics", "", ""))


class ServerMetrics:
    """Asks for the metrics once an interval and keeps what they say.

    Give it the address of one server, not of a load balancer: every answer would be another
    server's.

    Args:
        url: Address of the metrics; see `metrics_url`.
        headers: Sent with every question, such as the API key.
        interval_s: Seconds between two questions.
        timeout_s: Longest wait for an answer, in seconds.
        gpu_url: Address of a second exporter that is asked for the GPU's use only, such as
            NVIDIA's dcgm-exporter. It is not sent the headers.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        interval_s: float = 1.0,
        timeout_s: float = 5.0,
        gpu_url: str | None = None,
    ) -> None:
        self._url = url
        self._headers = dict(headers or {})
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._gpu_url = gpu_url
        self._looks: list[Look] = []
        self._missing: str | None = None
        self._hopeless = False

    @property
    def source(self) -> str:
        """The address, without user, password and query."""
        try:
            parts = urlsplit(self._url)
        except ValueError:
            return ""
        host = parts.netloc.rpartition("@")[2]
        return printable(urlunsplit((parts.scheme, host, parts.path, "", "")))

    @property
    def looks(self) -> tuple[Look, ...]:
        """What was seen so far."""
        return tuple(self._looks)

    async def watch(self) -> None:
        """Look once an interval until cancelled, or until it is clear that there is nothing.

        Raises nothing: without metrics a test is still a test. When a look takes longer than the
        interval, the ones it overlaps are left out, never made up for.
        """
        due = time.monotonic()
        with suppress(*_TROUBLE):
            async with self._client() as client:
                while not self._hopeless:
                    await self._look(client)
                    now = time.monotonic()
                    due += self._interval_s * max(1.0, -((due - now) // self._interval_s))
                    await asyncio.sleep(max(0.0, due - now))

    async def look(self) -> None:
        """Look once, and keep what was seen: for a last look when the load has ended."""
        with suppress(*_TROUBLE):
            async with self._client() as client:
                await self._look(client)

    async def _look(self, client: httpx.AsyncClient) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                seen = await self._ask(client, self._url, self._headers)
            gpu = await self._gpu(client)
        except TimeoutError:
            self._missing = f"no answer within {self._timeout_s:g} s"
        except NotMetricsError as error:
            self._missing = str(error)
        except _TROUBLE as error:
            self._missing = f"cannot be reached: {_line(error)}"
        else:
            self._looks.append(seen if gpu is None else replace(seen, gpu=gpu))

    def summary(self, *, start: float, from_s: float, to_s: float) -> ServerSide:
        """The server's side of a run; see `pilotage.prove.server_side.summary.summarise`."""
        return summarise(
            self._looks,
            source=self.source,
            start=start,
            from_s=from_s,
            to_s=to_s,
            missing=self._missing,
        )

    def _client(self) -> httpx.AsyncClient:
        # Neither proxies of the environment nor its .netrc, and no redirects: the headers may
        # hold a key.
        return httpx.AsyncClient(trust_env=False, timeout=None)  # noqa: S113  `_look` has one

    async def _gpu(self, client: httpx.AsyncClient) -> float | None:
        if self._gpu_url is None:
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                return (await self._ask(client, self._gpu_url, {})).gpu
        except _TROUBLE:
            return None

    async def _ask(self, client: httpx.AsyncClient, url: str, headers: Mapping[str, str]) -> Look:
        async with client.stream("GET", url, headers={**_ACCEPT, **headers}) as response:
            self._check(response, first=url == self._url)
            body = bytearray()
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    raise NotMetricsError(f"the answer is longer than {MAX_BODY_BYTES >> 20} MiB")
        return read_look(body.decode("utf-8", "replace"), time.monotonic())

    def _check(self, response: httpx.Response, *, first: bool) -> None:
        """Whether this answer may be metrics; and if not, whether asking again may help."""
        status = response.status_code
        if status == httpx.codes.OK:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise NotMetricsError("the answer is compressed, which was not asked for")
            return
        if first and 300 <= status < 500 and status not in _COME_BACK:
            # Unless it was there before: then this is a server that is being replaced.
            self._hopeless = not self._looks
        if status in (401, 403):
            raise NotMetricsError(f"the metrics need a key or other headers (HTTP {status})")
        if status == httpx.codes.NOT_FOUND:
            raise NotMetricsError("the server has no metrics there (HTTP 404)")
        if 300 <= status < 400:
            raise NotMetricsError(f"redirects, which are not followed (HTTP {status})")
        raise NotMetricsError(f"the server answered HTTP {status}")


def _line(error: BaseException) -> str:
    return printable(str(error) or type(error).__name__)[:200]
