"""How a node takes part in a swarm; every option is an environment variable."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass

from pilotage.errors import UsageError
from pilotage.units import UnitError, parse_duration, parse_size


@dataclass(frozen=True, slots=True)
class SwarmOptions:
    """How a node takes part.

    Attributes:
        tracker: The tracker's address, ``http://host:port``; None if it is not used.
        peers: ``host:port`` of trackers that are asked in turn; a name stands for all its
            addresses.
        folder: A folder that all nodes share; None if it is not used.
        token: The fleet's secret; empty on loopback only.
        listen: Address to listen on for peers.
        port: Its port; 0 takes a free one.
        advertise: The address that peers should use; None: the one that the tracker sees.
        upload_rate: Bytes a second to peers, at most; 0 for no bound.
        download_rate: Bytes a second from peers, at most; 0 for no bound.
        quota: Nodes that may pull from the origin at once, where a shared folder is used; a
            tracker has its own.
        origin_streams: Parallel streams from the origin while this node pulls.
        stall_s: Seconds without a byte after which a node asks to pull for itself.
        alone_s: Seconds without a byte after which it pulls without being asked to.
        seed_s: How long it goes on giving after it has everything, in seconds.
    """

    tracker: str | None = None
    peers: tuple[str, ...] = ()
    folder: str | None = None
    token: str = ""
    listen: str = "0.0.0.0"  # noqa: S104 - a peer is there to be reached
    port: int = 0
    advertise: str | None = None
    upload_rate: int = 0
    download_rate: int = 0
    quota: int = 1
    origin_streams: int = 4
    stall_s: float = 20.0
    alone_s: float = 60.0
    seed_s: float = 600.0

    @staticmethod
    def from_environment(environ: Mapping[str, str] = os.environ) -> SwarmOptions:
        """Read the variables ``PILOTAGE_SWARM_…``.

        TRACKER, PEERS, FOLDER, TOKEN, LISTEN (``address:port``), ADVERTISE, UPLOAD, DOWNLOAD
        (``20MiB`` a second), QUOTA, STREAMS, STALL, ALONE, SEED.

        Raises:
            UsageError: A value is malformed, or there is no way to find other nodes.
        """
        get = _Reader(environ)
        listen, port = get.listen()
        defaults = SwarmOptions()
        options = SwarmOptions(
            tracker=(get("TRACKER") or "").rstrip("/") or None,
            peers=tuple(p.strip() for p in (get("PEERS") or "").split(",") if p.strip()),
            folder=get("FOLDER"),
            token=get("TOKEN") or "",
            listen=listen,
            port=port,
            advertise=get.address("ADVERTISE"),
            upload_rate=get.size("UPLOAD"),
            download_rate=get.size("DOWNLOAD"),
            quota=get.count("QUOTA", defaults.quota),
            origin_streams=get.count("STREAMS", defaults.origin_streams),
            stall_s=get.duration("STALL", defaults.stall_s),
            alone_s=get.duration("ALONE", defaults.alone_s),
            seed_s=get.duration("SEED", defaults.seed_s),
        )
        if not (options.tracker or options.peers or options.folder):
            raise UsageError(
                "it is not said how nodes find one another",
                where="swarm://",
                hint="Set PILOTAGE_SWARM_TRACKER=http://host:port, PILOTAGE_SWARM_PEERS, or "
                "PILOTAGE_SWARM_FOLDER (a folder that all nodes share)",
            )
        if options.tracker and not options.tracker.startswith(("http://", "https://")):
            raise UsageError(
                "a tracker's address is http://host:port", where="PILOTAGE_SWARM_TRACKER"
            )
        return options


class _Reader:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def __call__(self, name: str) -> str | None:
        return self._environ.get(f"PILOTAGE_SWARM_{name}", "").strip() or None

    def size(self, name: str) -> int:
        try:
            return parse_size((self(name) or "0").removesuffix("/s"))
        except UnitError as error:
            raise _wrong(name, error) from error

    def duration(self, name: str, default: float) -> float:
        try:
            return parse_duration(self(name) or default)
        except UnitError as error:
            raise _wrong(name, error) from error

    def count(self, name: str, default: int) -> int:
        text = self(name) or str(default)
        if not text.isdigit() or not 1 <= int(text) <= 1000:
            raise UsageError("a number from 1 to 1000", where=f"PILOTAGE_SWARM_{name}")
        return int(text)

    def address(self, name: str) -> str | None:
        text = self(name)
        try:
            return str(ipaddress.ip_address(text)) if text else None
        except ValueError as error:
            raise UsageError("an IP address is needed", where=f"PILOTAGE_SWARM_{name}") from error

    def listen(self) -> tuple[str, int]:
        text = self("LISTEN") or "0.0.0.0:0"
        host, _, port = text.rpartition(":")
        try:
            address, number = str(ipaddress.ip_address(host.strip("[]"))), int(port)
        except ValueError:
            number = -1
        if not 0 <= number <= 65535:
            raise UsageError(
                "the form is address:port, such as 10.0.0.5:6881", where="PILOTAGE_SWARM_LISTEN"
            )
        return address, number


def _wrong(name: str, error: UnitError) -> UsageError:
    return UsageError(error.message, where=f"PILOTAGE_SWARM_{name}", hint=error.hint)
