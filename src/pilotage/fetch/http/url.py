"""URLs from outside: parsed once, compared by origin, shown without secrets."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from pilotage.errors import SourceError

_PORTS: Final = {"https": 443, "http": 80}
_MAX_LENGTH: Final = 8192
_HOST: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")
_FORM: Final = "The form is https://host/path"


@dataclass(frozen=True, slots=True)
class Url:
    """An absolute http or https URL. Its text form leaves the query out: it may be signed.

    Attributes:
        scheme: ``https`` or ``http``.
        host: Lower case, ASCII, without brackets and without a final dot.
        port: Given or the scheme's own.
        path: Percent-encoded, begins with ``/``.
        query: Percent-encoded, without ``?``; may hold secrets.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str = field(default="", repr=False)

    @staticmethod
    def parse(text: str) -> Url:
        """Read an absolute URL.

        Raises:
            SourceError: It is malformed, holds a user name or password, or is not http(s).
        """
        where = shown(text)
        if len(text) > _MAX_LENGTH:
            raise SourceError(f"the URL is longer than {_MAX_LENGTH:,} characters", where=where)
        if any(not c.isprintable() or c in " \\" for c in text):
            raise SourceError(
                "the URL holds a space, a backslash or a control character", where=where, hint=_FORM
            )
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:  # its text may quote the password
            raise SourceError("not a URL", where=where, hint=_FORM) from None
        scheme = parts.scheme.lower()
        if scheme not in _PORTS:
            raise SourceError("not an http(s) URL", where=where, hint=_FORM)
        if "@" in parts.netloc:
            raise SourceError(
                "a URL with a user name or password in it is refused: it ends up in logs",
                where=where,
                hint="Give credentials by the environment",
            )
        if port == 0:
            raise SourceError("port 0 is no port", where=where)
        return Url(
            scheme,
            _host(parts.hostname or "", where),
            port or _PORTS[scheme],
            _encoded(parts.path) or "/",
            _encoded(parts.query),
        )

    def join(self, reference: str) -> Url:
        """The URL that a ``Location`` or ``Link`` of this one names.

        Raises:
            SourceError: As `parse` does.
        """
        # Servers do send raw spaces there; everything else that is odd is refused by parse.
        try:
            joined = urljoin(self.full, reference.strip().replace(" ", "%20"))
        except ValueError:
            raise SourceError("it points to something that is no URL", where=str(self)) from None
        return Url.parse(joined)

    def same_origin(self, other: Url) -> bool:
        """Whether scheme, host and port are the same: then credentials may travel along."""
        return (self.scheme, self.host, self.port) == (other.scheme, other.host, other.port)

    @property
    def authority(self) -> str:
        """``host`` or ``host:port``, as the ``Host`` header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """``https://host[:port]``."""
        return f"{self.scheme}://{self.authority}"

    @property
    def target(self) -> str:
        """Path and query: what the request line names. May hold secrets."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def full(self) -> str:
        """The whole URL. May hold secrets."""
        return self.origin + self.target

    def __str__(self) -> str:
        return f"{self.origin}{self.path}"[:300]


def shown(text: str) -> str:
    """A URL as messages may show it: no user name, password, query or fragment, bounded."""
    bare = re.split(r"[?#]", text, maxsplit=1)[0]
    bare = re.sub(r"(://)[^/\\]*@", r"\1***@", bare)
    return "".join(c if c.isprintable() else "�" for c in bare[:300])


def _host(host: str, where: str) -> str:
    name = host.lower().removesuffix(".")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        # IDNA 2003 as Python has it: a name that it cannot encode is refused, never guessed at.
        ascii_name = name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        ascii_name = ""
    if len(ascii_name) > 253 or ".." in ascii_name or not _HOST.fullmatch(ascii_name):
        raise SourceError("the URL names no valid host", where=where, hint=_FORM)
    return ascii_name


def _encoded(text: str) -> str:
    """`text` with what is not ASCII percent-encoded; what is encoded already stays."""
    return quote(text, safe="%/:?#[]@!$&'()*+,;=-._~|^{}\"<>`")
