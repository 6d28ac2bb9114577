"""What went wrong over HTTP, as Pilotage's errors: which may go well next time, which will not."""

from __future__ import annotations

import http.client
import socket
import ssl
from http import HTTPStatus
from typing import Final

import urllib3.exceptions as u3

from pilotage.errors import SourceError
from pilotage.fetch.http.headers import Headers
from pilotage.fetch.http.limits import retry_after_s
from pilotage.fetch.http.url import Url
from pilotage.fetch.origin import ChangedError, NoRangesError, TransientError

NETWORK_ERRORS: Final = (u3.HTTPError, http.client.HTTPException, OSError)
"""What urllib3 and the socket below it raise; `of_network` reads them."""

_TRANSIENT: Final = frozenset({408, 425, 429})
_PERMANENT_5XX: Final = frozenset({501, 505, 511})
_HINTS: Final = {
    401: "The address needs a token, or the token is wrong",
    403: "The token does not allow this, or the address has expired",
    407: "The proxy needs a user name and password in HTTPS_PROXY",
    511: "Log in to this network first",
}


class StatusError(SourceError):
    """The server answered, and the answer is no.

    Args:
        message: What the answer was.
        where: The address, without secrets.
        hint: What to do about it.
        status: The HTTP status code.
        headers: Of the response; a source refines the error by them (``X-Error-Code``).
    """

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        status: int = 0,
        headers: Headers | None = None,
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.status = status
        self.headers: Headers = {} if headers is None else headers


def of_status(status: int, headers: Headers, url: Url) -> SourceError:
    """The error for a response that is no success.

    Args:
        status: Its code.
        headers: Its header fields.
        url: What was asked for.
    """
    where = str(url)
    message = f"the server answers {status}{_phrase(status)}"
    asked_s = retry_after_s(headers)
    # A 403 with a time to come back is a rate limiter's (GitHub sends those), not a verdict.
    limited = status == 403 and (headers.get("Retry-After") or _exhausted(headers))
    server_error = 500 <= status <= 599 and status not in _PERMANENT_5XX
    if status in _TRANSIENT or server_error or limited:
        hint = "A token often has a higher limit" if status == 429 else None
        return TransientError(message, where=where, hint=hint, retry_after_s=asked_s)
    if status == 412:
        return ChangedError("the file has changed at its source", where=where, hint="Fetch again")
    return StatusError(
        message, where=where, hint=_HINTS.get(status), status=status, headers=headers
    )


def of_network(error: Exception, url: Url, *, received: bool = False) -> SourceError:
    """The error for an exception of urllib3 or of the socket below it.

    Args:
        error: One of `NETWORK_ERRORS`.
        url: What was asked for.
        received: Whether bytes of the body had arrived.
    """
    where = str(url)
    chain = _chain(error)
    unverified = next((e for e in chain if isinstance(e, ssl.SSLCertVerificationError)), None)
    if unverified is not None:
        return SourceError(
            f"the server's certificate is refused: {unverified.verify_message}",
            where=where,
            hint="If a company proxy signs certificates, name its CA file in SSL_CERT_FILE",
        )
    status = _proxy_status(chain)
    if status is not None and status in _HINTS:
        return SourceError(
            f"the proxy answers {status}{_phrase(status)}", where=where, hint=_HINTS[status]
        )
    return TransientError(
        _told(chain),
        where=where,
        hint="Check the network and the proxy settings",
        received=received,
    )


def html_instead(url: Url, *, of: str) -> SourceError:
    """The error for a page where data should be."""
    return SourceError(
        f"a web page came instead of {of}",
        where=str(url),
        hint="A proxy, a login page or a captive portal may stand between; open it in a browser",
    )


def no_ranges(url: Url) -> NoRangesError:
    """The error for a whole file where a part was asked for."""
    return NoRangesError("the server ignores ranges; files can only be had whole", where=str(url))


def changed(url: Url) -> ChangedError:
    """The error for a file that is not the one it was."""
    return ChangedError("the file has changed at its source", where=str(url), hint="Fetch again")


def _phrase(status: int) -> str:
    try:
        return f" ({HTTPStatus(status).phrase})"
    except ValueError:
        return ""


def _exhausted(headers: Headers) -> bool:
    return headers.get("X-RateLimit-Remaining", "").strip() == "0"


def _chain(error: BaseException) -> list[BaseException]:
    """The error and all it was made from: urllib3 wraps, in `args` as often as in the cause."""
    found: list[BaseException] = []
    queue: list[object] = [error]
    while queue and len(found) < 20:
        item = queue.pop(0)
        if isinstance(item, BaseException) and item not in found:
            found.append(item)
            queue += [item.__cause__, *item.args]
    return found


def _told(chain: list[BaseException]) -> str:
    """What happened, in our words: the libraries' own may quote addresses."""
    through = "the proxy" if any(isinstance(e, u3.ProxyError) for e in chain) else "the server"
    kinds: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
        ((u3.NameResolutionError, socket.gaierror), f"the name of {through} cannot be resolved"),
        (ConnectionRefusedError, f"{through} refuses the connection"),
        # A connection that failed is a time-out to urllib3's classes, so it comes first.
        (u3.NewConnectionError, f"{through} cannot be reached"),
        (u3.ConnectTimeoutError, f"{through} does not take the connection in time"),
        ((u3.ReadTimeoutError, TimeoutError), "nothing has arrived for too long"),
        ((http.client.IncompleteRead, u3.IncompleteRead), "the answer ended too early"),
        (http.client.RemoteDisconnected, f"{through} closed the connection without an answer"),
        (
            (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, ssl.SSLEOFError),
            "the connection was cut",
        ),
        (ssl.SSLError, f"{through} and this machine do not agree on TLS"),
        (http.client.HTTPException, f"{through} does not speak HTTP"),
    )
    for kind, text in kinds:
        if any(isinstance(e, kind) for e in chain):
            return text
    return "the connection failed"


def _proxy_status(chain: list[BaseException]) -> int | None:
    """The code in "Tunnel connection failed: 407 Proxy Authentication Required"."""
    for error in chain:
        text = str(error)
        if isinstance(error, OSError) and text.startswith("Tunnel connection failed: "):
            code = text.removeprefix("Tunnel connection failed: ")[:3]
            return int(code) if code.isascii() and code.isdigit() else None
    return None
