"""A proxy of the environment, as urllib3 takes it."""

from __future__ import annotations

import ssl
from urllib.parse import unquote, urlsplit

import urllib3

from pilotage.errors import UsageError


def proxy_manager(proxy: str, size: int, tls: ssl.SSLContext) -> urllib3.ProxyManager:
    """Connections through a proxy: tunnels for https, forwarded requests for http.

    Args:
        proxy: Its URL as in ``HTTPS_PROXY``; may hold a user name and password, which go to the
            proxy only.
        size: Connections kept open.
        tls: Certificates to trust, the proxy's own among them.

    Raises:
        UsageError: It is no URL of a proxy. The message does not quote it.
    """
    text = proxy if "://" in proxy else f"http://{proxy}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit("none://"), None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(
            "HTTP_PROXY or HTTPS_PROXY is not an http(s) URL", hint="The form is http://host:port"
        )
    login = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        login = urllib3.make_headers(proxy_basic_auth=pair)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return urllib3.ProxyManager(
        f"{parts.scheme}://{host}:{port or (443 if parts.scheme == 'https' else 80)}",
        maxsize=size,
        proxy_headers=login,
        ssl_context=tls,
        proxy_ssl_context=tls if parts.scheme == "https" else None,
    )
