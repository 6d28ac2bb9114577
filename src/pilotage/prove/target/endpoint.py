"""The address that requests are sent to, and what goes with each of them."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import httpx
import psutil

from pilotage.errors import UsageError
from pilotage.units import printable

Api = Literal["chat", "completions", "infer"]

_ROUTES: Final[dict[Api, str]] = {
    "chat": "/chat/completions",  # before "completions", whose route it ends with
    "completions": "/completions",
    "infer": "/infer",
}
_USERINFO = re.compile(r"^([^/?#]*//)?[^/?#]*@")
_LABEL = re.compile(rb"[a-z0-9_-]{1,63}", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route of one server. Made by `parse_endpoint`.

    Attributes:
        host: Server's name or address, ASCII, an IPv6 address without its brackets.
        port: Server's port.
        tls: Whether to speak TLS.
        prefix: Path before the API's routes: ``/v1``, ``/openai/v1``, or empty.
        api: Which kind of request it takes.
        model: Model's name in requests; None until it is chosen.
        key: API key, in no representation of this object.
        key_name: Where the key comes from (an environment variable), for messages.
    """

    host: str
    port: int
    tls: bool
    prefix: str
    api: Api
    model: str | None = None
    key: str | None = field(default=None, repr=False)
    key_name: str = "PILOTAGE_API_KEY"

    @property
    def authority(self) -> str:
        """Host, and port where it is not the scheme's own: the ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self._scheme] else f"{host}:{self.port}"

    @property
    def path(self) -> str:
        """The path that requests are posted to."""
        return f"{self.prefix}{_ROUTES[self.api]}"

    @property
    def origin(self) -> str:
        """Scheme, host and port, such as ``http://127.0.0.1:8000``."""
        return f"{self._scheme}://{self.authority}"

    @property
    def post_url(self) -> str:
        """The address that requests are posted to."""
        return f"{self.origin}{self.path}"

    @property
    def models_path(self) -> str:
        """The path of the list of models."""
        return f"{self.prefix}/models"

    @property
    def models_url(self) -> str:
        """The address of the list of models."""
        return f"{self.origin}{self.models_path}"

    @property
    def headers(self) -> dict[str, str]:
        """Headers of every request but those that its body decides. They hold the key."""
        headers = {
            "Host": self.authority,
            "User-Agent": "pilotage-prove",
            "Accept": "application/json, text/event-stream",
            # Unpacking would cost the client time that it would then measure.
            "Accept-Encoding": "identity",
        }
        return headers | {"Authorization": f"Bearer {self.key}"} if self.key else headers

    @property
    def head(self) -> bytes:
        """What every request to `post_url` begins with; see `head_for`."""
        return self.head_for("POST", self.path)

    def head_for(self, method: str, path: str) -> bytes:
        """The request line and `headers` as HTTP/1.1 has them, without the closing blank line."""
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in self.headers.items())]
        return "".join(f"{line}\r\n" for line in lines).encode("ascii")

    def with_model(self, model: str) -> Endpoint:
        """This endpoint with its model chosen."""
        return replace(self, model=model)

    def is_same_machine(self) -> bool:
        """Whether the server's address is one of this machine's, so that both share its cores.

        Resolves the host's name, which takes as long as the resolver does. A name that cannot be
        resolved is not this machine. A server behind a forwarded port looks local and may not be.
        """
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError:
            return False
        theirs = {_address(str(info[4][0])) for info in found}
        ours = {
            _address(entry.address)
            for entries in psutil.net_if_addrs().values()
            for entry in entries
            if entry.family in {socket.AF_INET, socket.AF_INET6}
        }
        # To connect to 0.0.0.0, which servers print, is to connect to oneself.
        return any(ip.is_loopback or ip.is_unspecified or ip in ours for ip in theirs)

    @property
    def _scheme(self) -> str:
        return "https" if self.tls else "http"


def parse_endpoint(
    url: str,
    *,
    api: Api | None = None,
    model: str | None = None,
    key: str | None = None,
    key_name: str = "PILOTAGE_API_KEY",
) -> Endpoint:
    """The endpoint that a user means by ``url``.

    Args:
        url: The server (``127.0.0.1:8000``, ``https://host/path``), with or without ``/v1`` at its
            end; or the whole address of a route, for servers whose API has no ``/v1``.
        api: Which API; None takes it from the address, or chat.
        model: Model's name; None to choose the server's only one.
        key: API key to present, if any.
        key_name: Where the key comes from, for messages.

    Raises:
        UsageError: The address or the key cannot be used.
    """
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise UsageError("the API key holds characters that no key has", where=key_name)
    parsed = _parsed(url)
    prefix, api = _split(parsed.raw_path.decode("ascii"), api, url)
    return Endpoint(
        host=parsed.raw_host.decode("ascii"),
        port=parsed.port or _PORTS[parsed.scheme],
        tls=parsed.scheme == "https",
        prefix=prefix,
        api=api,
        model=model or None,
        key=key or None,
        key_name=key_name,
    )


def _parsed(url: str) -> httpx.URL:
    text = url.strip()
    try:
        parsed = httpx.URL(text if "://" in text else f"http://{text}")
        host = parsed.raw_host
    except (httpx.InvalidURL, UnicodeError):  # the latter for names that IDNA does not allow
        host, parsed = b"", httpx.URL("")
    ports = range(1, 65536)
    if not (
        _is_host(host) and parsed.scheme in _PORTS and (parsed.port is None or parsed.port in ports)
    ):
        raise UsageError(
            "this is no server's address",
            where=_shown(text) or '""',
            hint="One looks like http://127.0.0.1:8000.",
        )
    if parsed.userinfo:
        raise UsageError(
            "an address with a password in it is not used, as it would stand in every report",
            where=_shown(text),
            hint="Put the key into an environment variable.",
        )
    if parsed.query or parsed.fragment or "?" in text or "#" in text:
        raise UsageError(
            "an address with a query or a fragment is not used",
            where=_shown(text),
            hint="Give the address of the server alone; a key goes into an environment variable.",
        )
    return parsed


def _is_host(host: bytes) -> bool:
    """Whether ``host`` can be connected to: a name, or an IPv4 or IPv6 address."""
    if b":" in host:
        with contextlib.suppress(ValueError):
            return bool(ipaddress.IPv6Address(host.decode("ascii")))
    labels = host.removesuffix(b".").split(b".")
    return len(host) < 254 and all(_LABEL.fullmatch(label) for label in labels)


def _split(path: str, api: Api | None, url: str) -> tuple[str, Api]:
    """The prefix of the API's routes and the API, from the path of an address."""
    path = path.rstrip("/")
    for named, route in _ROUTES.items():
        if path.endswith(route):
            if api not in {None, named}:
                raise UsageError(
                    f'the address is of the "{named}" API, and "{api}" is to be tested',
                    where=_shown(url),
                    hint="Give the address of the server alone, or leave out which API.",
                )
            return path.removesuffix(route), named
    base = path.removesuffix("/v1").rstrip("/")
    api = api or "chat"
    # The multipart route stands beside /v1, not in it.
    return (base if api == "infer" else f"{base}/v1"), api


def _shown(url: str) -> str:
    """``url`` without what may be a secret in it, on one line."""
    text = _USERINFO.sub(lambda match: match[1] or "", url)
    return printable(re.split(r"[?#]", text, maxsplit=1)[0])[:200]


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
