"""A node's side of the tracker: one, or several that are asked in turn."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec
import urllib3

from pilotage.errors import SourceError, UsageError
from pilotage.fetch.swarm.messages import MAX_BODY, Report, View, decode_view
from pilotage.fetch.swarm.rendezvous import UnreachableError
from pilotage.fetch.swarm.tracker import DEFAULT_PORT

_CONNECT_S: Final = 3.0
_ANSWER_S: Final = 10.0
_RETURN_S: Final = 30.0
"""Seconds after which the first tracker of the list is asked again, so that all nodes end up at
the same one."""


class TrackerRendezvous:
    """Meets at the first tracker of a list that answers.

    Args:
        urls: ``http://host:port`` each.
        token: The fleet's secret.
    """

    def __init__(self, urls: Sequence[str], token: str) -> None:
        self._urls = tuple(urls)
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._pool = urllib3.PoolManager(maxsize=4, retries=False)
        self._lock = threading.Lock()
        self._chosen = 0
        self._chosen_at = 0.0

    def sync(self, report: Report) -> View:
        """Report to a tracker.

        Raises:
            UnreachableError: None answers.
            SourceError: One refuses the token, or does not understand.
        """
        first = self._first()
        for step in range(len(self._urls)):
            number = (first + step) % len(self._urls)
            try:
                view = self._ask(self._urls[number], report)
            except UnreachableError:
                if step + 1 == len(self._urls):
                    raise
                continue
            with self._lock:
                if number != self._chosen:
                    self._chosen, self._chosen_at = number, time.monotonic()
            return view
        raise UnreachableError("no tracker is named")

    def _first(self) -> int:
        with self._lock:
            if self._chosen and time.monotonic() - self._chosen_at > _RETURN_S:
                self._chosen_at = time.monotonic()
                return 0
            return self._chosen

    def _ask(self, url: str, report: Report) -> View:
        timeout = urllib3.Timeout(connect=_CONNECT_S, read=_ANSWER_S + report.wait_s)
        try:
            response = self._pool.request(
                "POST",
                f"{url}/v1/sync",
                body=msgspec.json.encode(report),
                headers=self._headers,
                timeout=timeout,
                redirect=False,
                preload_content=False,
            )
            try:
                data = response.read(MAX_BODY + 1)
            finally:
                response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(f"{url} does not answer ({type(error).__name__})") from error
        if response.status >= 500:
            raise UnreachableError(f"{url} answers {response.status}")
        if response.status == 401:
            raise SourceError(
                "the tracker refuses this node's token",
                where=url,
                hint="PILOTAGE_SWARM_TOKEN must be the same on the tracker and on all nodes",
            )
        try:
            return decode_view(data if response.status == 200 and len(data) <= MAX_BODY else b"")
        except ValueError as error:
            raise SourceError(
                f"this is no tracker of Pilotage's, or one of another version ({response.status})",
                where=url,
                hint="Check PILOTAGE_SWARM_TRACKER",
            ) from error


def tracker_urls(peers: Sequence[str]) -> tuple[str, ...]:
    """The trackers that ``host[:port]`` entries stand for, all addresses of a name, sorted.

    Sorted, so that all nodes ask the same one first.

    Raises:
        UsageError: An entry is malformed.
        SourceError: No name has an address.
    """
    found: set[tuple[str, int]] = set()
    unknown: list[str] = []
    for entry in peers:
        parts = urlsplit(f"//{entry}")
        try:
            host, port = parts.hostname, parts.port or DEFAULT_PORT
        except ValueError:
            host, port = None, 0
        if not host or parts.path or parts.username is not None:
            raise UsageError("the form is host:port, …", where=f"PILOTAGE_SWARM_PEERS={entry}")
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            unknown.append(host)
            continue
        found.update((str(answer[4][0]), port) for answer in answers)
    if not found:
        raise SourceError(
            f"no address is known for {', '.join(unknown)[:200]}", where="PILOTAGE_SWARM_PEERS"
        )
    return tuple(
        f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        for host, port in sorted(found)
    )
