"""``swarm://ORIGIN``: any source over HTTP, its bytes shared between the nodes that want them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pilotage.errors import SourceError
from pilotage.fetch.manifest import Manifest
from pilotage.fetch.progress import ProgressListener
from pilotage.fetch.sources.network import Network
from pilotage.fetch.sources.source import Source
from pilotage.fetch.swarm.network import SwarmNetwork
from pilotage.fetch.swarm.options import SwarmOptions
from pilotage.fetch.swarm.seed import leave_seed

_PREFIX = "swarm://"
_FORM = "The form is swarm://ORIGIN, such as swarm://hf://owner/name@revision"
ORIGINS = ("hf", "https", "s3")


@dataclass(frozen=True, slots=True)
class SwarmSource:
    """A source whose bytes come from peers first.

    Every node resolves the manifest itself: it is the root of trust, and a few small calls. The
    model is stored under its origin's URI, as its bytes are the same.

    Attributes:
        origin: The source behind it.
        network: What the origin's source transfers with.
    """

    origin: Source
    network: SwarmNetwork

    @staticmethod
    def parse(
        uri: str,
        origin: Callable[[str, Network], Source],
        *,
        network: Network | None = None,
        options: SwarmOptions | None = None,
    ) -> SwarmSource:
        """Read ``swarm://ORIGIN-URI``.

        Args:
            uri: The URI.
            origin: Makes the origin's source: called with its URI and the network to use.
            network: Bounds of calls and transfers.
            options: How this node takes part; by default from the environment.

        Raises:
            SourceError: The URI is malformed, or names an origin that cannot be shared.
            UsageError: An option in the environment is wrong.
        """
        inner = uri[len(_PREFIX) :]
        scheme, mark, _ = inner.partition("://")
        if not mark or scheme not in ORIGINS:
            raise SourceError(
                "a swarm needs an origin: " + ", ".join(f"{known}://" for known in ORIGINS),
                where=f"{_PREFIX}{scheme[:20]}",
                hint=_FORM,
            )
        plain = network or Network()
        shared = SwarmNetwork(
            timeouts=plain.timeouts,
            retry=plain.retry,
            transfer=plain.transfer,
            swarm=options or SwarmOptions.from_environment(),
        )
        return SwarmSource(origin(inner, shared), shared)

    @property
    def uri(self) -> str:
        """The origin's canonical URI: however they travelled, the bytes are the same."""
        return self.origin.uri

    @property
    def in_place(self) -> Path | None:
        """As the origin has it."""
        return self.origin.in_place

    def resolve(self) -> Manifest:
        """As the origin resolves it.

        Raises:
            SourceError: There is no such model.
        """
        return self.origin.resolve()

    def fetch(
        self, manifest: Manifest, into: Path, scratch: Path, progress: ProgressListener
    ) -> Manifest:
        """Have the files from peers, and from the origin where it is this node's turn.

        The node stays in the swarm until `published` or `close`.

        Raises:
            SourceError: Neither peers nor origin have the bytes.
            ResourceError: The disk is full, or no port is free.
        """
        return self.origin.fetch(manifest, into, scratch, progress)

    def published(self, files: Path) -> int | None:
        """Leave a process that goes on giving from the model's final place.

        Args:
            files: The folder that the manifest's paths are relative to now.

        Returns:
            The id of the process; None when there is none.
        """
        try:
            return leave_seed(self.network.shared, files, self.network.swarm)
        finally:
            self.close()

    def close(self) -> None:
        """Leave the swarm."""
        self.network.close()
