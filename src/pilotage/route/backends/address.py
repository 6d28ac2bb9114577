"""Where a backend listens, taken apart once."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from pilotage.errors import UsageError


@dataclass(frozen=True, slots=True)
class Address:
    """An HTTP origin and the path below which its API lies.

    Attributes:
        host: Name or IP address, without brackets.
        port: TCP port.
        tls: Whether it is ``https``.
        path: Of the base address, without its last slash: "/v1".
    """

    host: str
    port: int
    tls: bool
    path: str

    @staticmethod
    def parse(url: str, *, where: str) -> Address:
        """Take ``url`` apart.

        Args:
            url: A base address, such as ``https://api.example.com/v1``.
            where: Who has it, for the error.

        Raises:
            UsageError: It is no such address, or holds a password, a query or a fragment.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        secure = parts.scheme == "https"
        plain = url.isascii() and url.isprintable() and " " not in url
        if not plain or not (secure or parts.scheme == "http") or not parts.hostname:
            raise UsageError(
                "the url is no http:// or https:// address",
                where=where,
                hint="Give the base address of the API, such as https://api.example.com/v1",
            )
        if parts.username is not None or parts.query or parts.fragment:
            # Not shown: what stands there is often a key.
            raise UsageError(
                "the url has a user name, a query or a fragment",
                where=where,
                hint="Give the address alone, and the key in an environment variable (api_key_env)",
            )
        return Address(
            parts.hostname, port or (443 if secure else 80), secure, parts.path.rstrip("/")
        )

    @property
    def authority(self) -> str:
        """Host and port as the ``Host`` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"
