"""The address that a server listens on, bound before anything is loaded."""

from __future__ import annotations

import errno
import socket
from typing import Final

from pilotage.errors import ResourceError

_BACKLOG: Final = 2048


def open_listener(host: str, port: int) -> socket.socket:
    """Bind the address now, so that a taken port is known before the model is loaded.

    Raises:
        ResourceError: The port is taken, or the address is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:  # UnicodeError: a label longer than names may have
        raise ResourceError(
            f"there is no address {host}",
            where="--host",
            hint="Give one of this machine's addresses, such as 127.0.0.1",
        ) from error
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _not_bound(error, host, port) from error
    return listener


def _not_bound(error: OSError, host: str, port: int) -> ResourceError:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return ResourceError(
            "the port is taken by another process",
            where=where,
            hint="Stop that one, or choose another with --port (0 takes any free port)",
        )
    if error.errno == errno.EACCES:
        return ResourceError(
            "this user may not listen on that port", where=where, hint="Take one above 1023"
        )
    return ResourceError(f"cannot listen there: {error.strerror}", where=where)
