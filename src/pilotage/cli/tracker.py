"""``pilotage tracker``: where the nodes that share a model meet."""

from __future__ import annotations

import ipaddress
import os
from typing import Annotated

import typer

from pilotage.errors import UsageError


def tracker(
    *,
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS:PORT", help="Where nodes reach it.")
    ] = "127.0.0.1:6880",
    quota: Annotated[
        int,
        typer.Option(min=1, max=1000, help="How many nodes of one model pull from the origin."),
    ] = 1,
) -> None:
    """Run the tracker of a swarm: nodes that fetch swarm:// sources meet here.

    It carries no model bytes and keeps nothing on disk. The token is in PILOTAGE_SWARM_TOKEN.
    """
    from pilotage.fetch.swarm import TrackerServer  # noqa: PLC0415  loads an HTTP server

    host, _, port = listen.rpartition(":")
    try:
        address, number = str(ipaddress.ip_address(host.strip("[]"))), int(port)
    except ValueError:
        number = -1
    if not 0 <= number <= 65535:
        raise UsageError("the form is address:port, such as 0.0.0.0:6880", where="--listen")
    token = os.environ.get("PILOTAGE_SWARM_TOKEN", "").strip()
    server = TrackerServer(address, number, token=token, quota=quota)
    typer.echo(f"The tracker listens. On every node: PILOTAGE_SWARM_TRACKER={server.url}", err=True)
    server.run()
