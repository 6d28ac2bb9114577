"""Connections to checked addresses: pools, TLS, proxies, time-outs. Follows no redirects."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final
from urllib.request import getproxies_environment, proxy_bypass

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from pilotage.fetch.http.failures import NETWORK_ERRORS, of_network
from pilotage.fetch.http.guard import Guard
from pilotage.fetch.http.proxies import proxy_manager
from pilotage.fetch.http.trust import trust
from pilotage.fetch.http.url import Url

_MAX_POOLS: Final = 64
_MAX_ADDRESSES: Final = 4
_RESOLVED_FOR_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for what, in seconds.

    Attributes:
        connect_s: For a connection to one address.
        idle_s: For the next byte, of the head or the body.
        head_s: For the whole head of an answer, however steadily it drips.
    """

    connect_s: float = 10.0
    idle_s: float = 30.0
    head_s: float = 60.0


class Connections:
    """Sends requests to addresses that the guard has checked. Safe to use from many threads.

    Args:
        guard: Says where connections may go.
        timeouts: How long to wait.
        size: Connections that are kept open to one address.
        tls: Certificates to trust; by default the machine's, see `trust`.
        proxies: Scheme to proxy URL, and ``no`` to the hosts that need none, as
            ``getproxies_environment`` gives them. None: from the environment.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        timeouts: Timeouts,
        size: int,
        tls: ssl.SSLContext | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> None:
        self._guard = guard
        self._timeouts = timeouts
        self._size = size
        self._tls = tls
        self._proxies = dict(getproxies_environment() if proxies is None else proxies)
        self._http_class, self._https_class = _connection_classes(timeouts.head_s)
        self._lock = threading.Lock()
        self._pools: OrderedDict[tuple[str, str, int, str], HTTPConnectionPool] = OrderedDict()
        self._managers: dict[str, urllib3.ProxyManager] = {}
        self._resolved: dict[str, tuple[float, tuple[str, ...]]] = {}

    def request(
        self, method: str, url: Url, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        """Send one request and read the head of its answer, whatever its status.

        Args:
            method: ``GET`` or ``HEAD``.
            url: Checked here, every time.
            headers: All to send, except ``Host``.

        Raises:
            SourceError: The URL is refused, or there is no way to the server.
            TransientError: It may go well next time.
        """
        proxy = self._proxy(url)
        if proxy is None:
            return self._direct(method, url, headers)
        self._guard.check_name(url)
        try:
            return self._manager(proxy).urlopen(
                method,
                url.full,
                headers=dict(headers),
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=self._timeout(),
            )
        except NETWORK_ERRORS as error:
            raise of_network(error, url) from error

    def close(self) -> None:
        """Close all idle connections; those in use close when they are done."""
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            for manager in self._managers.values():
                manager.clear()
            self._pools.clear()
            self._managers.clear()

    def _direct(
        self, method: str, url: Url, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        addresses = self._addresses(url)
        for index, address in enumerate(addresses):
            pool = self._pool(url, address)
            try:
                response = pool.urlopen(
                    method,
                    url.target,
                    headers={"Host": url.authority, **headers},
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    decode_content=False,
                    timeout=self._timeout(),
                )
            except (
                urllib3.exceptions.NewConnectionError,
                urllib3.exceptions.ConnectTimeoutError,
            ) as e:
                # Nothing was sent yet, so the next address is as good: IPv6 without a route, say.
                if index + 1 < len(addresses):
                    continue
                self._forget(url)
                raise of_network(e, url) from e
            except NETWORK_ERRORS as error:
                raise of_network(error, url) from error
            if index:
                self._prefer(url, address)
            return response
        raise AssertionError("the guard gives at least one address")

    def _timeout(self) -> urllib3.Timeout:
        return urllib3.Timeout(connect=self._timeouts.connect_s, read=self._timeouts.idle_s)

    def _addresses(self, url: Url) -> tuple[str, ...]:
        now = time.monotonic()
        with self._lock:
            known = self._resolved.get(url.origin)
        if known is not None and now < known[0]:
            return known[1]
        addresses = self._guard.addresses(url)[:_MAX_ADDRESSES]
        with self._lock:
            self._resolved[url.origin] = (now + _RESOLVED_FOR_S, addresses)
        return addresses

    def _prefer(self, url: Url, address: str) -> None:
        with self._lock:
            known = self._resolved.get(url.origin)
            if known is not None and address in known[1]:
                rest = tuple(other for other in known[1] if other != address)
                self._resolved[url.origin] = (known[0], (address, *rest))

    def _forget(self, url: Url) -> None:
        with self._lock:
            self._resolved.pop(url.origin, None)

    def _pool(self, url: Url, address: str) -> HTTPConnectionPool:
        key = (url.scheme, url.host, url.port, address)
        with self._lock:
            pool = self._pools.get(key)
            if pool is None:
                pool = self._new_pool(url, address)
                self._pools[key] = pool
            self._pools.move_to_end(key)
            while len(self._pools) > _MAX_POOLS:
                self._pools.popitem(last=False)[1].close()
            return pool

    def _new_pool(self, url: Url, address: str) -> HTTPConnectionPool:
        if url.scheme == "http":
            pool = HTTPConnectionPool(address, url.port, maxsize=self._size)
            pool.ConnectionCls = self._http_class
            return pool
        # The connection goes to the address; the certificate must still be the host's.
        secure = HTTPSConnectionPool(
            address,
            url.port,
            maxsize=self._size,
            ssl_context=self._trusted(),
            server_hostname=url.host,
        )
        secure.ConnectionCls = self._https_class
        return secure

    def _trusted(self) -> ssl.SSLContext:
        """The certificates to trust, read once they are needed: that takes 20 ms."""
        if self._tls is None:
            self._tls = trust()
        return self._tls

    def _proxy(self, url: Url) -> str | None:
        if proxy_bypass(url.authority, self._proxies):
            return None
        return self._proxies.get(url.scheme) or self._proxies.get("all")

    def _manager(self, proxy: str) -> urllib3.ProxyManager:
        with self._lock:
            manager = self._managers.get(proxy)
            if manager is None:
                manager = proxy_manager(proxy, self._size, self._trusted())
                self._managers[proxy] = manager
            return manager


def _connection_classes(head_s: float) -> tuple[type[HTTPConnection], type[HTTPSConnection]]:
    """urllib3's connections, with a limit on how long an answer's head may take.

    A read time-out starts anew with every byte: a server that sends one header byte every few
    seconds would hold a thread for days.
    """

    class LimitedHTTPConnection(HTTPConnection):
        def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
            with _cut_after(head_s, self.sock):
                return super().getresponse()

    class LimitedHTTPSConnection(HTTPSConnection):
        def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
            with _cut_after(head_s, self.sock):
                return super().getresponse()

    return LimitedHTTPConnection, LimitedHTTPSConnection


class _QueriesHidden(logging.Filter):
    """urllib3 logs every request line at DEBUG, and a signed URL's signature is in its query."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args
            )
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_QueriesHidden())


@contextmanager
def _cut_after(seconds: float, sock: socket.socket) -> Iterator[None]:
    cut = threading.Event()

    def now() -> None:
        cut.set()
        with suppress(OSError):  # it may be closed already
            # Not SSLSocket's own shutdown, which takes the TLS layer from under the reader.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, now)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if cut.is_set():  # what was read is half a head, which http.client does not mind
        raise TimeoutError("the head of the answer took too long")
