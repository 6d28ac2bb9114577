"""Ports that a local deployment listens on, looked at before anything is started."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from pilotage.errors import ResourceError
from pilotage.ship.targets.local.processes import Revision
from pilotage.ship.targets.local.run_folder import RunFolder
from pilotage.ship.targets.local.status import alive_units


def check_ports(folder: RunFolder, revision: Revision) -> None:
    """See to it that what is started can listen.

    Raises:
        ResourceError: A port is taken by something else, or the address is not this machine's.
    """
    ours = {unit["process"]["address"] for unit in alive_units(folder).values()}
    for process in revision.processes:
        if process.address in ours:
            continue
        parts = urlsplit(process.address)
        host = parts.hostname or ""
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, parts.port or 0))
            except OSError as error:
                raise ResourceError(
                    f"{process.name} cannot listen there: {(error.strerror or '').lower()}",
                    where=f"{host}:{parts.port}",
                    hint="Choose another serving.port; the replicas take the ports after it",
                ) from None
