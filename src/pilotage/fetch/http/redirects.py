"""One request and the redirects it leads to, every hop checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Final

import urllib3

from pilotage.errors import SourceError
from pilotage.fetch.http.answer import Head
from pilotage.fetch.http.connections import Connections
from pilotage.fetch.http.failures import NETWORK_ERRORS, of_status
from pilotage.fetch.http.url import Url

MAX_REDIRECTS: Final = 5
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

_DRAINED: Final = 64 * 1024

# What may cross to another origin. A list of what may, as no list of secrets is ever complete.
# If-Range and If-Match are not on it: an ETag means nothing to a server that did not give it.
_HARMLESS: Final = frozenset(
    {"accept", "accept-encoding", "accept-language", "range", "user-agent"}
)


class Follow(Enum):
    """Which redirects are followed; one that is not is returned as the answer."""

    ALL = "all"
    SAME_ORIGIN = "same-origin"
    NONE = "none"


class Sender:
    """Sends requests and follows redirects.

    Args:
        connections: Checks and sends each hop.
        defaults: Headers of every request, names in lower case.
    """

    def __init__(self, connections: Connections, defaults: Mapping[str, str]) -> None:
        self._connections = connections
        self._defaults = defaults

    @contextmanager
    def send(
        self,
        method: str,
        url: Url,
        headers: Mapping[str, str] | None,
        follow: Follow,
        *,
        ranged: bool = False,
    ) -> Iterator[tuple[Head, urllib3.BaseHTTPResponse]]:
        """The first answer that is no redirect to follow; closed at the end if it was not read.

        Args:
            method: ``GET`` or ``HEAD``.
            url: What to ask for.
            headers: To send along; what is not harmless stays with the URL's own origin.
            follow: Which redirects to follow.
            ranged: Whether a 416 is an answer too.

        Raises:
            SourceError: For every other status of 400 and above, for a redirect that is refused,
                and as `Connections.request` does.
        """
        here = url
        sent = {**self._defaults, **_checked(headers or {}, here)}
        crossed = False
        for _ in range(MAX_REDIRECTS + 1):
            response = self._connections.request(method, here, sent)
            try:
                target = _target(response, here, follow)
                if target is None:
                    head = Head(response.status, response.headers, here, crossed)
                    if method == "HEAD":
                        _drain(response)
                    if head.status >= 400 and not (ranged and head.status == 416):
                        _drain(response)
                        raise of_status(head.status, head.headers, here)
                    yield head, response
                    return
                _drain(response)
            finally:
                if not response.closed:
                    response.close()
                response.release_conn()
            if here.scheme == "https" and target.scheme != "https":
                raise SourceError(
                    f"a redirect from https to plain http, to {target.host}, is refused",
                    where=str(here),
                )
            if not target.same_origin(here):
                # For good: a chain that comes back here may have been written by the other.
                crossed = True
                sent = {name: value for name, value in sent.items() if name in _HARMLESS}
            here = target
        raise SourceError(f"more than {MAX_REDIRECTS} redirects", where=str(url))


def _target(response: urllib3.BaseHTTPResponse, here: Url, follow: Follow) -> Url | None:
    """Where a redirect to follow leads; None if the answer is the answer."""
    location = response.headers.get("Location")
    if response.status not in REDIRECTS or location is None or follow is Follow.NONE:
        return None
    target = here.join(location)
    return target if follow is Follow.ALL or target.same_origin(here) else None


def _drain(response: urllib3.BaseHTTPResponse) -> None:
    """Read what little is left of an answer that nobody wants, so that its connection is kept."""
    left = response.length_remaining  # 0 for HEAD
    if left is not None and left <= _DRAINED:
        with suppress(*NETWORK_ERRORS):
            response.read(_DRAINED, decode_content=False)


def _checked(headers: Mapping[str, str], url: Url) -> dict[str, str]:
    """The headers, if they can be sent: the library's own complaint would quote a token."""
    for name, value in headers.items():
        if not value.isascii() or not value.isprintable():
            raise SourceError(
                f"the value of {name} holds characters that no header may hold",
                where=str(url),
                hint="Look for a line break or a letter with an accent in the token",
            )
    return {name.lower(): value for name, value in headers.items()}
