"""Ports that a local deployment listens on, looked at before anything is started."""

from __future__ import annotations

import socket
from contextlib import suppress
from urllib.parse import urlsplit

from pilotage.errors import PilotageError, ResourceError
from pilotage.ship.targets.local.processes import Revision
from pilotage.ship.targets.local.run_folder import RunFolder
from pilotage.ship.targets.local.started import strays
from pilotage.ship.targets.local.status import alive_units


def check_ports(folder: RunFolder, revision: Revision) -> None:
    """See to it that what is started can listen.

    Raises:
        ResourceError: A port is taken by something else, or the address is not this machine's.
    """
    ours = {unit["process"]["address"] for unit in alive_units(folder).values()}
    # Started, and never written down: a supervisor was killed in between. The next one finds them.
    for spec, _ in strays(folder.revisions):
        with suppress(PilotageError):
            kept = folder.revision(spec.parent.name).processes
            ours |= {one.address for one in kept if one.spec == spec.name}
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
